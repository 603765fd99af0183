"""Transcription with the shipped weights: what is said is heard, in every format, within limits."""

import asyncio
import io
import time
import wave

import numpy as np
import orjson
import pytest

from core.errors import InvalidRequest
from core.model import CallContext
from core.transcription import TranscriptionRequest, TranslationRequest
from core.work import WorkUnits
from deployments.transcription import Transcription, TranscriptionSettings
from models.espeak import Voice, espeak
from tests.deployments.sounds import encoded, tone

SENTENCE = "turn the light off please"


@pytest.fixture(scope="module")
def model():
    return Transcription(
        TranscriptionSettings(
            name="starter-transcribe",
            source="starter:starter_transcribe",
            compute_type="float32",
            cpu_threads=1,
            beam_size=1,
            condition_on_previous_text=False,
            block_s=30,
            max_s=120,
        )
    )


def spoken(text, pause_s=0.3):
    """24 kHz-free: espeak-ng's own rate, with a little silence around."""
    speech = espeak().speak(text, Voice("en-us", rate=160))
    samples = np.frombuffer(speech.samples, np.int16) / 32768
    silence = np.zeros(int(pause_s * speech.sample_rate))
    return np.concatenate([silence, samples, silence])


def request(samples=None, kind="wav", **fields):
    sound = spoken(SENTENCE) if samples is None else samples
    return TranscriptionRequest(file=encoded(sound, kind), **fields)


def context(**changes):
    return CallContext("r", **changes)


async def test_what_is_said_is_heard_and_billed_by_its_seconds(model):
    reply = await model.transcribe(request(), context())
    answer = orjson.loads(reply.body)
    assert answer["text"] == SENTENCE
    seconds = len(spoken(SENTENCE)) / 22050
    assert reply.units.audio_ms == pytest.approx(1000 * seconds, abs=30)
    assert answer["usage"] == {"type": "duration", "seconds": reply.units.audio_ms / 1000}


@pytest.mark.parametrize("kind", ["mp3", "opus", "aac", "flac"])
async def test_any_format_is_heard(model, kind):
    reply = await model.transcribe(request(kind=kind, response_format="text"), context())
    assert reply.body.decode() == SENTENCE + "\n"
    assert reply.media_type.startswith("text/plain")


async def test_subtitles_have_times(model):
    srt = (await model.transcribe(request(response_format="srt"), context())).body.decode()
    assert srt.startswith("1\n00:00:0")
    assert " --> 00:00:0" in srt
    assert SENTENCE in srt
    vtt = (await model.transcribe(request(response_format="vtt"), context())).body.decode()
    assert vtt.startswith("WEBVTT\n\n00:00:00.")


async def test_words_have_times_in_order_within_the_recording(model):
    asked = request(
        response_format="verbose_json", timestamp_granularities=["word", "segment"], language="en"
    )
    answer = orjson.loads((await model.transcribe(asked, context())).body)
    assert answer["language"] == "en"
    assert [word["word"] for word in answer["words"]] == SENTENCE.split()
    times = [time for word in answer["words"] for time in (word["start"], word["end"])]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= answer["duration"] + 0.1
    assert answer["segments"][0]["text"].strip() == SENTENCE


async def test_a_stream_tells_the_text_and_then_the_whole(model):
    chunks = [chunk async for chunk in model.transcribe_stream(request(stream=True), context())]
    events = [orjson.loads(chunk.data.removeprefix(b"data: ")) for chunk in chunks]
    assert {event["type"] for event in events[:-1]} == {"transcript.text.delta"}
    assert events[-1]["type"] == "transcript.text.done"
    assert "".join(event["delta"] for event in events[:-1]) == events[-1]["text"] == SENTENCE
    assert chunks[-1].units.audio_ms > 0


async def test_a_recording_longer_than_a_block_is_heard_to_its_end(model):
    sentences = ["turn the light off", "play the music", "open the window please"] * 5
    whole = np.concatenate([spoken(text, 0.6) for text in sentences])
    assert len(whole) / 22050 > 31
    asked = request(whole, response_format="verbose_json")
    answer = orjson.loads((await model.transcribe(asked, context())).body)
    heard = answer["text"].split()
    assert len(heard) == pytest.approx(len(" ".join(sentences).split()), rel=0.2)
    ends = [segment["end"] for segment in answer["segments"]]
    assert ends == sorted(ends)
    assert ends[-1] > 30


async def test_silence_has_no_words(model):
    reply = await model.transcribe(request(np.zeros(22050 * 3)), context())
    assert orjson.loads(reply.body)["text"] == ""


async def test_voice_detection_keeps_what_is_said(model):
    padded = np.concatenate([np.zeros(22050 * 8), spoken(SENTENCE), np.zeros(22050 * 8)])
    asked = request(padded, vad_filter=True, response_format="verbose_json")
    answer = orjson.loads((await model.transcribe(asked, context())).body)
    assert answer["text"] == SENTENCE
    assert answer["segments"][0]["start"] == pytest.approx(8.0, abs=1.0)


async def test_a_translation_is_english_text(model):
    asked = TranslationRequest(file=encoded(spoken(SENTENCE)))
    assert orjson.loads((await model.translate(asked, context())).body)["text"] == SENTENCE


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"language": "xx"}, "language"),
        ({"timestamp_granularities": ["word"]}, "timestamp_granularities"),
    ],
)
async def test_what_the_model_cannot_do_is_named(model, fields, param):
    with pytest.raises(InvalidRequest) as caught:
        await model.transcribe(request(tone(1.0), **fields), context())
    assert caught.value.param == param


@pytest.mark.parametrize("data", [b"x", b"\x89PNG\r\n\x1a\n" * 9, b"RIFF" * 50])
async def test_what_is_no_sound_names_the_file(model, data):
    with pytest.raises(InvalidRequest) as caught:
        await model.transcribe(TranscriptionRequest(file=data), context())
    assert caught.value.param == "file"


async def test_ten_hours_are_refused_with_the_limit_before_they_are_decoded(model):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(1)
        writer.setframerate(500)
        writer.writeframes(b"\x80" * (500 * 36_000))
    with pytest.raises(InvalidRequest, match="takes 120 seconds") as caught:
        await model.transcribe(TranscriptionRequest(file=buffer.getvalue()), context())
    assert caught.value.param == "file"


async def test_no_more_is_heard_than_was_reserved(model):
    call = context(reserved=WorkUnits(audio_ms=500))
    with pytest.raises(InvalidRequest, match="more sound than its header says"):
        await model.transcribe(request(tone(4.0)), call)


async def test_a_caller_that_goes_away_stops_the_work(model):
    whole = np.concatenate([spoken(SENTENCE, 0.6)] * 12)
    stream = model.transcribe_stream(request(whole, stream=True), call := context())
    await anext(stream)
    await stream.aclose()
    assert 0 < call.done.audio_ms < 1000 * len(whole) / 22050


async def test_the_event_loop_stays_free_while_the_model_works(model):
    work = asyncio.ensure_future(model.transcribe(request(), context()))
    turns = 0
    while not work.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10


async def test_the_engines_time_is_counted_for_the_call(model):
    call = context()
    started = time.perf_counter()
    await model.transcribe(request(), call)
    assert 0 < call.device_s <= time.perf_counter() - started
