"""Speech with the shipped weights: heard again by the transcriber, streamed, within limits."""

import asyncio
import base64
import io
import time
import wave

import numpy as np
import orjson
import pytest

from core.errors import InvalidRequest
from core.model import CallContext
from core.speech import SpeechRequest, VoicesRequest, speech_stream_type
from core.transcription import TranscriptionRequest
from core.work import WorkUnits
from deployments.sound import SAMPLE_RATE, blocks
from deployments.speech import Speech, SpeechSettings
from deployments.speech_text import LONGEST, sentences
from deployments.transcription import Transcription, TranscriptionSettings


@pytest.fixture(scope="module")
def model():
    return Speech(
        SpeechSettings(
            name="starter-speech",
            source="starter:starter_speech",
            threads=1,
            voices={"bass": "tenor"},
        )
    )


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


def context():
    return CallContext("r")


def seconds(audio):
    return sum(len(block.samples) for block in blocks(audio, 300, 1000)) / SAMPLE_RATE


async def spoken(model, **fields):
    return await model.speak(SpeechRequest(**fields), context())


@pytest.mark.parametrize("voice", ["tenor", "alto"])
async def test_what_is_spoken_is_heard(model, ear, voice):
    texts = [
        "Turn the light off, please.",
        "Play the next music.",
        "Move the red circle left.",
        "One two three four five.",
    ]
    right = total = 0
    for text in texts:
        reply = await spoken(model, input=text, voice=voice, response_format="mp3")
        answer = await ear.transcribe(TranscriptionRequest(file=reply.body), context())
        heard = orjson.loads(answer.body)["text"].split()
        said = text.lower().replace(",", "").replace(".", "").split()
        right += sum(word in heard for word in said)
        total += len(said)
    assert right / total >= 0.8


async def test_the_first_audio_leaves_before_the_last_sentence_is_spoken(model):
    text = "The door is open. The light is off. The music is on. Please stop."
    said = []
    whole = model.engine.say

    def listening(sentence, *rest):
        said.append(sentence)
        return whole(sentence, *rest)

    model.engine.say = listening
    try:
        request = SpeechRequest(input=text, response_format="mp3")
        stream = model.speak_stream(request, context())
        first = await anext(stream)
        assert len(said) == 1
        rest = [chunk async for chunk in stream]
    finally:
        del model.engine.say
    assert len(said) == 4
    counts = [chunk.units.characters for chunk in [first, *rest]]
    assert counts == sorted(counts)
    assert counts[-1] == len(text)
    assert seconds(b"".join(chunk.data for chunk in [first, *rest])) > 3


async def test_a_caller_that_goes_away_is_billed_for_what_was_spoken(model):
    request = SpeechRequest(input="One. Two. Three. Four.", response_format="wav")
    stream = model.speak_stream(request, call := context())
    await anext(stream)
    await stream.aclose()
    assert 0 < call.done.characters < len(request.input)


@pytest.mark.parametrize("speed", [0.5, 2.0])
async def test_speed_changes_the_length(model, speed):
    plain = seconds((await spoken(model, input="Open the window, please.")).body)
    changed = seconds((await spoken(model, input="Open the window, please.", speed=speed)).body)
    assert changed == pytest.approx(plain / speed, rel=0.1)


@pytest.mark.parametrize("kind", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
async def test_every_format_holds_the_same_sound(model, kind):
    reply = await spoken(model, input="Stop.", response_format=kind)
    length = len(reply.body) / 48_000 if kind == "pcm" else seconds(reply.body)
    assert 0.4 < length < 2.5
    assert reply.media_type == SpeechRequest(input="x", response_format=kind).media_type


async def test_a_whole_wav_says_its_true_size(model):
    reply = await spoken(model, input="Stop.", response_format="wav")
    with wave.open(io.BytesIO(reply.body)) as reader:
        assert reader.getnframes() * 2 == len(reply.body) - 44


async def test_events_carry_the_audio(model):
    request = SpeechRequest(input="Stop. Go on.", response_format="mp3", stream_format="sse")
    assert speech_stream_type(request) == "text/event-stream"
    chunks = [chunk async for chunk in model.speak_stream(request, context())]
    events = [orjson.loads(chunk.data.removeprefix(b"data: ")) for chunk in chunks]
    assert [event["type"] for event in events[:-1]] == ["speech.audio.delta"] * (len(events) - 1)
    assert events[-1]["type"] == "speech.audio.done"
    audio = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
    assert seconds(audio) > 0.8


async def test_voices_differ_and_clients_of_openai_find_theirs(model):
    tenor, alto, bass, alloy = [
        (await spoken(model, input="Music.", voice=voice, response_format="wav")).body
        for voice in ("tenor", "alto", "bass", "alloy")
    ]
    assert tenor != alto
    assert seconds(bass) == seconds(tenor)
    assert seconds(alloy) > 0
    answer = orjson.loads((await model.list_voices(VoicesRequest(), context())).body)
    assert [voice["id"] for voice in answer["voices"]] == ["tenor", "alto"]
    assert "bass" in answer["voices"][0]["aliases"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": "Hello", "voice": "nobody"}, "voice"),
        ({"input": "Hello", "language": "tlh"}, "language"),
        ({"input": "... !!! --"}, "input"),
        ({"input": "\u200b \n"}, "input"),
    ],
)
async def test_what_cannot_be_spoken_is_named(model, fields, param):
    with pytest.raises(InvalidRequest) as caught:
        await spoken(model, **fields)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "text", ["a", "I", "7", "U.S.A.", "\u4f60\u597d", "caf\u00e9 \U0001f600", "xkcd 3.14 %"]
)
async def test_odd_texts_are_spoken_somehow(model, text):
    reply = await spoken(model, input=text, response_format="wav")
    assert seconds(reply.body) > 0.2
    assert reply.units == WorkUnits(characters=len(text))


async def test_samples_stay_within_the_scale(model):
    reply = await spoken(model, input="The red circle and the blue square.", response_format="wav")
    samples = np.frombuffer(reply.body[44:], "<i2")
    assert 3000 < np.abs(samples.astype(int)).max() < 32_700


async def test_the_event_loop_stays_free_while_the_model_speaks(model):
    work = asyncio.ensure_future(spoken(model, input="Play the music again, louder."))
    turns = 0
    while not work.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Hello, Dr. Smith! How are you?", ["Hello, Dr. Smith!", "How are you?"]),
        ("no mark", ["no mark."]),
        ("One line\nand another;", ["One line.", "and another."]),
        ("\u4f60\u597d\u3002\u518d\u89c1\u3002", ["\u4f60\u597d\u3002", "\u518d\u89c1\u3002"]),
        ("?! ...", []),
    ],
)
def test_text_is_cut_into_sentences(text, pieces):
    assert sentences(text) == pieces


@pytest.mark.parametrize("text", ["word, " * 600, "word " * 800, "x" * 4096])
def test_no_piece_is_too_long_to_be_spoken(text):
    pieces = sentences(text)
    assert max(len(piece) for piece in pieces) <= LONGEST + 1
    assert sum(len(piece.replace(" ", "")) for piece in pieces) >= len(text.replace(" ", "")) * 0.9


async def test_the_engines_time_is_counted_for_the_call(model):
    call = context()
    started = time.perf_counter()
    await model.speak(SpeechRequest(input="The door is open."), call)
    assert 0 < call.device_s <= time.perf_counter() - started
