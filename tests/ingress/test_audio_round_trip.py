"""Text to speech to text with the official SDK: the real routes, path and models, no cluster."""

import httpx2
import pytest
from openai import AsyncOpenAI, BadRequestError

from core.model import ModelCard
from core.work import WorkUnits
from deployments.speech import Speech, SpeechSettings
from deployments.transcription import Transcription, TranscriptionSettings
from ingress.application import Application
from ingress.audio import AudioEndpoints
from ingress.catalog import Catalog
from tests.fakes.dispatch import KEY, NothingUnheard, principal
from tests.ingress.test_path import World

TEXT = "Turn the light off, please. Play the music again."


class Direct(NothingUnheard):
    """Step 4 without Serve: the models in this process, the last chunk marked, as replicas do."""

    def __init__(self, models):
        self.models = models

    async def answer(self, call, context):
        return await getattr(self.models[call.model.card.id], call.operation.method)(
            call.request, context
        )

    async def stream(self, call, context):
        model = self.models[call.model.card.id]
        source = getattr(model, call.operation.stream_method)(call.request, context)
        chunks = [chunk async for chunk in source]
        for chunk in chunks:
            yield chunk._replace(last=chunk is chunks[-1])


@pytest.fixture(scope="module")
def models():
    ear = TranscriptionSettings(
        name="starter-transcribe",
        source="starter:starter_transcribe",
        compute_type="float32",
        cpu_threads=1,
        condition_on_previous_text=False,
    )
    voice = SpeechSettings(name="starter-speech", source="starter:starter_speech", threads=1)
    return {"starter-speech": Speech(voice), "starter-transcribe": Transcription(ear)}


@pytest.fixture
def world(models):
    # The plan "tiny" limits tokens, of which there are none here.
    world = World(principal(plan="tiny"))
    world.path._dispatcher = Direct(models)
    return world


@pytest.fixture
async def client(world):
    catalog = Catalog(
        [
            ModelCard(id="starter-speech", spec="deployments.speech:SPEC", aliases=("tts-1",)),
            ModelCard(
                id="starter-transcribe",
                spec="deployments.transcription:SPEC",
                aliases=("whisper-1",),
            ),
        ]
    )
    application = Application(AudioEndpoints(world.path, catalog).endpoints(), "test")
    http = httpx2.AsyncClient(transport=httpx2.ASGITransport(application))
    async with AsyncOpenAI(
        api_key=KEY, base_url="http://test/v1", http_client=http, max_retries=0
    ) as client:
        yield client


async def test_what_is_written_is_spoken_heard_and_billed(client, world):
    async with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input=TEXT, response_format="mp3"
    ) as response:
        assert response.headers["content-type"] == "audio/mpeg"
        audio = b"".join([piece async for piece in response.iter_bytes()])
    transcript = await client.audio.transcriptions.create(
        model="whisper-1", file=("speech.mp3", audio, "audio/mpeg")
    )
    said = TEXT.lower().replace(",", "").replace(".", "").split()
    heard = transcript.text.split()
    assert sum(word in heard for word in said) / len(said) >= 0.8
    assert transcript.usage.type == "duration"
    spoken, listened = [settlement.units for settlement in world.settlements()]
    assert spoken == WorkUnits(characters=len(TEXT))
    assert listened == WorkUnits(audio_ms=round(1000 * transcript.usage.seconds))


async def test_every_transcript_format_of_the_sdk(client):
    speech = await client.audio.speech.create(
        model="tts-1", voice="alto", input="Open the window.", response_format="wav"
    )
    file = ("speech.wav", speech.content, "audio/wav")
    verbose = await client.audio.transcriptions.create(
        model="whisper-1",
        file=file,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
        language="en",
    )
    assert [word.word for word in verbose.words] == verbose.text.split()
    assert verbose.segments[0].end <= verbose.duration + 0.1
    srt = await client.audio.transcriptions.create(
        model="whisper-1", file=file, response_format="srt"
    )
    assert srt.startswith("1\n00:00:0")
    stream = await client.audio.transcriptions.create(model="whisper-1", file=file, stream=True)
    events = [event async for event in stream]
    assert events[-1].type == "transcript.text.done"
    assert "".join(event.delta for event in events[:-1]) == events[-1].text
    translation = await client.audio.translations.create(model="whisper-1", file=file)
    assert translation.text == events[-1].text


async def test_the_sdk_is_told_what_is_wrong(client):
    with pytest.raises(BadRequestError) as caught:
        await client.audio.transcriptions.create(
            model="whisper-1", file=("speech.mp3", b"not a sound" * 50, "audio/mpeg")
        )
    assert caught.value.param == "file"
    with pytest.raises(BadRequestError) as caught:
        await client.audio.speech.create(model="tts-1", voice="nobody", input="Hello")
    assert caught.value.param == "voice"
