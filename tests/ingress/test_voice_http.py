"""Voice over HTTP: forms, JSON, streams and bare sound; what is billed is what was done."""

import base64
import json
from urllib.parse import unquote

import httpx
import pytest

from core.pcm import PCM_RATE, wav
from core.sse import EventReader
from core.work import WorkUnits
from tests.deployments.sounds import encoded, tone
from tests.fakes.dispatch import KEY, principal
from tests.fakes.voice import heard, pcm
from tests.ingress.realtime.world import served

SOUND = wav(pcm(tone(1.5, PCM_RATE)))
UNITS = WorkUnits(input_tokens=6, output_tokens=6, characters=28, audio_ms=1501)


@pytest.fixture
async def gateway():
    async with served() as found:
        yield found


@pytest.fixture
async def client(gateway):
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=headers) as client:
        yield client


async def test_a_form_with_a_recording_is_answered_whole(client, gateway):
    response = await client.post(
        "/voice",
        data={"format": "pcm", "voice": "low", "history": json.dumps([])},
        files={"file": ("a.wav", SOUND, "audio/wav")},
    )
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["transcript"] == answer["text"] == "One two three. Four five six."
    seconds, pitch = heard(base64.b64decode(answer["audio"]["data"]))
    assert (seconds, pitch) == (pytest.approx(0.28, abs=0.01), pytest.approx(220, abs=5))
    assert gateway.units() == [UNITS]


async def test_any_format_of_recording_is_heard_for_as_long_as_it_lasts(client, gateway):
    sound = encoded(tone(2.0), "mp3")
    response = await client.post("/voice", json={"file": base64.b64encode(sound).decode()})
    assert response.status_code == 200
    assert gateway.units()[0].audio_ms == pytest.approx(2000, abs=150)


async def test_bare_sound_comes_with_its_words_in_headers(client):
    response = await client.post(
        "/voice", json={"text": "Gr\u00fc\u00dfe. An alle.", "output": "audio", "format": "wav"}
    )
    assert response.headers["content-type"] == "audio/wav"
    assert unquote(response.headers["x-voice-text"]) == "Gr\u00fc\u00dfe. An alle."
    assert response.headers["x-voice-finish-reason"] == "stop"
    seconds, _ = heard(response.content[44:])
    assert seconds == pytest.approx(0.15, abs=0.011)
    assert int.from_bytes(response.content[40:44], "little") == len(response.content) - 44


async def test_a_long_text_in_a_header_is_cut_by_whole_characters(client):
    asked = {"text": "\u00fc" * 60 + ". " + "\u00fc" * 300, "output": "audio", "format": "pcm"}
    response = await client.post("/voice", json=asked)
    told = unquote(response.headers["x-voice-text"], errors="strict")
    assert asked["text"].startswith(told)
    assert len(told) > 300


async def test_a_stream_of_events_and_a_stream_of_sound(client, gateway):
    reader, events = EventReader(), []
    asked = {"text": "One two. Three.", "stream": True, "format": "pcm"}
    async with client.stream("POST", "/voice", json=asked) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        async for piece in response.aiter_bytes():
            events += reader.feed(piece)
    assert [e["type"] for e in events if "audio" not in e["type"]][-1] == "voice.done"
    sound = b"".join(base64.b64decode(e.get("audio", "")) for e in events)
    assert heard(sound)[0] == pytest.approx(0.14, abs=0.001)
    usage = events[-1]["usage"]
    assert usage["characters"] == gateway.units()[0].characters == 14
    asked |= {"output": "audio", "format": "mp3"}
    response = await client.post("/voice", json=asked)
    assert response.headers["content-type"] == "audio/mpeg"
    assert response.content


async def test_the_same_question_again_is_served_from_the_cache(client):
    verdicts = [
        (await client.post("/voice", files={"file": ("a.wav", SOUND)})).headers["x-cache"]
        for _ in range(2)
    ]
    assert verdicts == ["MISS", "HIT"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, None),
        ({"text": ""}, "text"),
        ({"text": "a", "format": "ogg"}, "format"),
        ({"text": "a", "tenant": "t"}, "tenant"),
        ({"file": "!"}, "file"),
        ({"text": "a", "history": [{"role": "user"}]}, "history.0"),
        ({"file": base64.b64encode(wav(b"")).decode()}, "file"),
        ({"text": "a", "model": "echo"}, "model"),
    ],
)
async def test_a_bad_request_is_named_and_costs_nothing(client, gateway, fields, param):
    response = await client.post("/voice", json=fields)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    assert not gateway.world.admission.events


async def test_what_the_graph_refuses_is_told_and_costs_nothing(client, gateway):
    response = await client.post("/voice", json={"text": "a", "chat_model": "gpt-9"})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "chat_model")
    assert gateway.units() == [WorkUnits()]


async def test_a_budget_holds_for_voice_as_for_everything():
    async with served(principal(plan="tiny")) as gateway:
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=gateway.base_url, headers=headers) as client:
            response = await client.post("/voice", json={"text": "one two three"})
    assert response.status_code == 429
    assert not gateway.dispatcher.requests
