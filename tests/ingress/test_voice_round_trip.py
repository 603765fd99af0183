"""Speech to speech with the starter's ear and mouth; the chat repeats what it hears. No cluster."""

import base64

import pytest

from core.model import CallContext
from core.pcm import wav
from core.speech import SpeechRequest
from core.transcription import TranscriptionRequest
from deployments.speech import Speech, SpeechSettings
from deployments.transcription import Transcription, TranscriptionSettings
from tests.fakes.voice import Steps, echo, heard
from tests.ingress.realtime.world import served, until

TEXT = "Turn the light off please. Play the music again."
WORDS = TEXT.lower().replace(".", "").split()


@pytest.fixture(scope="module")
def ear():
    return Transcription(
        TranscriptionSettings(
            name="starter-transcribe",
            source="starter:starter_transcribe",
            compute_type="float32",
            cpu_threads=1,
            condition_on_previous_text=False,
        )
    )


@pytest.fixture(scope="module")
def mouth():
    return Speech(SpeechSettings(name="starter-speech", source="starter:starter_speech", threads=1))


def share(text):
    """Of the words, those that are in `text`."""
    return sum(word in text.lower().split() for word in WORDS) / len(WORDS)


async def test_what_is_said_comes_back_as_speech_that_says_the_same(ear, mouth):
    question = await mouth.speak(
        SpeechRequest(input=TEXT, voice="alto", response_format="pcm"), CallContext("q")
    )
    async with served() as gateway:
        steps = Steps(ear=ear, chat=echo(), mouth=mouth)
        for choice in ("transcription", "chat", "speech"):
            for step in getattr(gateway.voice.model, choice)._steps.values():
                step._models = steps.models
        async with gateway.connected() as connection:
            audio = base64.b64encode(question.body).decode()
            await connection.input_audio_buffer.append(audio=audio)
            await connection.input_audio_buffer.commit()
            await connection.response.create(response={"audio": {"output": {"voice": "tenor"}}})
            events = await until(connection, "response.done")
    done = events[-1].response
    assert done.status == "completed"
    assert share(done.output[0].content[0].transcript) >= 0.8
    deltas = [e.delta for e in events if e.type == "response.output_audio.delta"]
    spoken = b"".join(base64.b64decode(delta) for delta in deltas)
    seconds, _ = heard(spoken)
    assert 1.5 < seconds < 8
    again = await ear.transcribe(TranscriptionRequest(file=wav(spoken)), CallContext("a"))
    assert share(again.body.decode().replace('"', " ")) >= 0.6
