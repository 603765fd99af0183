"""The voice graph: what is heard is answered, spoken as it is written, and counted."""

import asyncio
import base64
import io
import itertools
from contextlib import aclosing

import av
import numpy as np
import orjson
import pytest
from pydantic import ValidationError

from core.errors import ContextOverflow, InvalidRequest
from core.model import CallContext, ModelCard
from core.pcm import PCM_RATE, wav
from core.sse import EventReader
from core.voice import VoiceRequest, estimate_voice
from core.work import WorkUnits
from graphs.model import ModelArgs, Replica
from tests.deployments.sounds import pitch_of, tone
from tests.fakes.voice import ENGINE, Ear, Mouth, Steps, echo, heard, pcm
from tests.graphs.test_model import Told

SOUND = wav(pcm(tone(1.5, PCM_RATE)))
CARD = ModelCard(id="starter-voice", spec="graphs.voice:SPEC", max_output_tokens=100)


class World:
    """A replica of the graph over models in this process."""

    def __init__(self, monkeypatch, ear=None, chat=None, mouth=None, **engine):
        self.ear, self.chat, self.mouth = ear or Ear(), chat or echo(), mouth or Mouth()
        steps = Steps(ear=self.ear, chat=self.chat, mouth=self.mouth)
        monkeypatch.setattr("graphs.voice.graph.Step", steps)
        args = ModelArgs(spec="graphs.voice:SPEC", engine=ENGINE | engine, coalesce_ms=0)
        self.replica = Replica(args)
        self.told = Told()
        monkeypatch.setattr(self.replica, "orphans", self.told)

    def call(self, request):
        return CallContext("r1", "starter-voice", reserved=estimate_voice(request, CARD))

    async def answer(self, **fields):
        request = VoiceRequest.model_validate({"file": SOUND} | fields)
        reply = await self.replica.answer("converse", request, self.call(request))
        return orjson.loads(reply.body), reply

    async def events(self, **fields):
        request = VoiceRequest.model_validate({"file": SOUND, "stream": True} | fields)
        reader = EventReader()
        source = self.replica.stream("converse", request, self.call(request))
        async with aclosing(source) as chunks:
            async for chunk in chunks:
                for event in reader.feed(chunk.data):
                    yield event, chunk.units


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


def decoded(data):
    """Samples and rate of an encoded sound."""
    with av.open(io.BytesIO(data), "r") as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=PCM_RATE)
        frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


async def test_what_is_said_is_heard_answered_spoken_and_counted(world):
    answer, reply = await world.answer(format="pcm", voice="high")
    assert answer["transcript"] == answer["text"] == "One two three. Four five six."
    assert [request.input for request in world.mouth.requests] == [
        "One two three.",
        "Four five six.",
    ]
    seconds, pitch = heard(base64.b64decode(answer["audio"]["data"]))
    assert seconds == pytest.approx(0.28, abs=0.001)
    assert pitch == pytest.approx(880, abs=5)
    assert reply.units == WorkUnits(input_tokens=6, output_tokens=6, characters=28, audio_ms=1501)
    assert answer["usage"]["characters"] == 28
    assert (answer["finish_reason"], answer["model"]) == ("stop", "starter-voice")


@pytest.mark.parametrize("kind", ["mp3", "opus", "aac", "flac", "wav"])
async def test_every_format_holds_the_whole_answer(world, kind):
    answer, _ = await world.answer(text="x" * 60 + ". " + "y" * 60 + ".", file=None, format=kind)
    samples = decoded(base64.b64decode(answer["audio"]["data"]))
    assert len(samples) / PCM_RATE == pytest.approx(1.22, abs=0.12)
    assert pitch_of(samples, PCM_RATE) == pytest.approx(440, abs=5)
    assert answer["transcript"] is None


async def test_a_sentence_sounds_before_the_next_one_is_written(monkeypatch):
    world = World(monkeypatch, chat=echo(word_ms=30))
    events = [event async for event, _ in world.events(format="pcm")]
    kinds = [event["type"] for event in events]
    assert kinds[0] == "voice.transcript"
    assert kinds[-1] == "voice.done"
    first_sound = kinds.index("voice.audio.delta")
    last_text = len(kinds) - 1 - kinds[::-1].index("voice.text.delta")
    assert first_sound < last_text
    text = "".join(e["delta"] for e in events if e["type"] == "voice.text.delta")
    assert text == events[-1]["text"] == "One two three. Four five six."
    spoken = [(e["index"], e["text"]) for e in events if e["type"] == "voice.sentence"]
    assert spoken == [(0, "One two three."), (1, "Four five six.")]


async def test_every_chunk_says_what_all_steps_took_and_none_takes_it_back(monkeypatch):
    world = World(monkeypatch, chat=echo(word_ms=5), mouth=Mouth(0.02))
    counted = [units async for _, units in world.events(format="pcm")]
    for before, after in itertools.pairwise(counted):
        assert before.output_tokens <= after.output_tokens
        assert before.characters <= after.characters
    assert counted[-1] == WorkUnits(input_tokens=6, output_tokens=6, characters=28, audio_ms=1501)


async def test_a_caller_who_goes_pays_for_what_was_done_and_stops_the_rest(monkeypatch):
    world = World(monkeypatch, chat=echo(word_ms=20))
    events = world.events(format="pcm")
    async for event, _ in events:
        if event["type"] == "voice.audio.delta":
            break
    await events.aclose()
    await asyncio.sleep(0.15)
    ((request_id, orphan),) = world.told.reports
    assert request_id == "r1"
    assert orphan.units.audio_ms == 1501
    assert orphan.units.characters == len("One two three.")
    assert 3 <= orphan.units.output_tokens <= 5
    assert len(world.mouth.requests) == 1


async def test_the_conversation_and_the_instructions_reach_the_chat_model(monkeypatch):
    world = World(monkeypatch, instructions="Be brief.")
    seen = []
    chat_stream = world.chat.chat_stream

    async def spied(request, call):
        seen.append([(m.role, m.content) for m in request.messages])
        async for chunk in chat_stream(request, call):
            yield chunk

    monkeypatch.setattr(world.chat, "chat_stream", spied)
    history = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Good day"},
        {"role": "user", "audio": base64.b64encode(SOUND).decode()},
    ]
    await world.answer(history=history, file=None)
    await world.answer(file=None, text="Hi", instructions="Be long.", max_tokens=1)
    said = ("user", "One two three. Four five six.")
    before = [("user", "Hello"), ("assistant", "Good day")]
    assert seen == [
        [("system", "Be brief."), *before, said],
        [("system", "Be long."), ("user", "Hi")],
    ]


async def test_silence_is_told_and_nothing_is_asked_or_spoken(monkeypatch):
    world = World(monkeypatch, ear=Ear(""))
    answer, reply = await world.answer()
    assert (answer["finish_reason"], answer["text"], answer["audio"]["data"]) == (
        "no_speech",
        "",
        "",
    )
    assert reply.units == WorkUnits(audio_ms=1501)


@pytest.mark.parametrize(("wake_s", "woken"), [(0.0, 0), (0.1, 1)])
async def test_the_voice_wakes_while_the_ear_does(monkeypatch, wake_s, woken):
    monkeypatch.setattr("graphs.voice.talk.WAKE_S", 0.03)
    world = World(monkeypatch, ear=Ear(wake_s=wake_s))
    _, reply = await world.answer()
    assert world.mouth.woken == woken
    assert reply.units.characters == 28


async def test_an_answer_may_be_written_only(world):
    answer, reply = await world.answer(speak=False)
    assert answer["audio"] is None
    assert answer["text"]
    assert reply.units.characters == 0
    assert estimate_voice(VoiceRequest(text="Hi", speak=False), CARD).characters == 0


async def test_no_more_is_spoken_than_was_reserved(world):
    answer, reply = await world.answer(file=None, text="abcdefghij. klmnopqrst", max_tokens=2)
    assert reply.units.characters <= 16
    assert answer["finish_reason"] == "length"
    assert answer["text"] == "abcdefghij. klmn"


async def test_bare_sound_streams_as_it_is_made(world):
    request = VoiceRequest(file=SOUND, stream=True, output="audio", format="pcm")
    call = world.call(request)
    chunks = [chunk async for chunk in world.replica.stream("converse", request, call)]
    seconds, _ = heard(b"".join(chunk.data for chunk in chunks))
    assert seconds == pytest.approx(0.28, abs=0.001)
    assert chunks[-1].units.characters == 28


async def test_a_long_answer_comes_in_pieces_that_fit_into_messages(world):
    text = " ".join(["word"] * 300)
    events = [e async for e, _ in world.events(file=None, text=text, format="pcm", max_tokens=400)]
    sizes = [len(e["audio"]) for e in events if e["type"] == "voice.audio.delta"]
    assert sum(sizes) * 3 / 4 == pytest.approx(48 * 10 * len(text), rel=0.02)
    assert max(sizes) <= 2**15


class Narrow:
    """A chat model with room for so many messages."""

    def __init__(self, most):
        self.most = most
        self.seen = []

    async def chat_stream(self, request, call):
        self.seen.append([message.content for message in request.messages])
        if len(request.messages) > self.most:
            raise ContextOverflow("too long", "messages")
        async for chunk in echo().chat_stream(request, call):
            yield chunk


async def test_the_oldest_turns_give_way_only_where_that_is_asked_for(monkeypatch):
    turns = [
        {"role": role, "content": f"{role} {n}"} for n in range(4) for role in ("user", "assistant")
    ]
    world = World(monkeypatch, chat=Narrow(4))
    asked = {"history": turns, "file": None, "text": "now", "instructions": "Rules"}
    with pytest.raises(ContextOverflow):
        await world.answer(**asked)
    answer, _ = await world.answer(**asked, truncation="auto")
    assert answer["text"] == "now"
    assert world.chat.seen[-1][0] == "Rules"
    assert world.chat.seen[-1][-1] == "now"
    assert len(world.chat.seen[-1]) <= 4


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"voice": "nobody"}, "voice"),
        ({"chat_model": "gpt-9"}, "chat_model"),
        ({"speech_model": "chat"}, "speech_model"),
        ({"transcription_model": "x"}, "transcription_model"),
    ],
)
async def test_faults_of_a_step_are_the_callers_to_read(world, fields, param):
    with pytest.raises(InvalidRequest) as caught:
        await world.answer(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"text": " "},
        {"text": "a", "file": SOUND},
        {"file": b""},
        {"file": "not base64!"},
        {"history": [{"role": "assistant", "content": "a"}]},
        {"history": [{"role": "user"}]},
        {"history": [{"role": "user", "content": "a", "audio": SOUND}]},
        {"history": [{"role": "assistant", "audio": SOUND}], "text": "a"},
        {"history": "[{]"},
        {"history": [{"role": "user", "content": "a"}] * 257},
        {"text": "a", "speak": False, "output": "audio"},
        {"text": "a", "speed": 9},
        {"text": "a", "format": "ogg"},
        {"text": "a", "temperature": float("nan")},
        {"text": "a", "language": "../etc"},
        {"text": "a", "turns": []},
    ],
)
def test_bad_requests_are_refused(fields):
    with pytest.raises(ValidationError):
        VoiceRequest.model_validate(fields)


def test_the_estimate_is_the_sum_of_the_steps_and_an_empty_recording_is_refused():
    card = CARD.model_copy(update={"context_window": 2048})
    request = VoiceRequest(
        file=SOUND, history=[{"role": "user", "content": "x" * 200}], max_tokens=50
    )
    units = estimate_voice(request, card)
    assert units.audio_ms == 1501
    assert units.input_tokens == 200 + 3 * 8 + 64 + 48
    assert (units.output_tokens, units.characters) == (50, 400)
    with pytest.raises(InvalidRequest) as caught:
        estimate_voice(VoiceRequest(file=wav(b"")), card)
    assert caught.value.param == "file"
