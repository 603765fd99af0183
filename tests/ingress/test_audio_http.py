"""Audio over HTTP: forms and JSON become calls, faults are named, nothing bad is charged."""

import base64

import httpx
import pytest

from auth.plans import Meter
from core.model import Chunk, ModelCard, Reply
from core.work import WorkUnits
from ingress.application import Application
from ingress.audio import AudioEndpoints
from ingress.catalog import Catalog
from ingress.openai import OpenAI
from tests.deployments.sounds import encoded, tone
from tests.fakes.dispatch import KEY, principal
from tests.ingress.test_path import World

SPEECH = "/v1/audio/speech"
TRANSCRIPTIONS = "/v1/audio/transcriptions"
SOUND = encoded(tone(2.0), "wav")


@pytest.fixture
def world():
    return World()


@pytest.fixture
async def client(world):
    catalog = Catalog(
        [
            ModelCard(id="voice", spec="deployments.speech:SPEC", aliases=("tts-1",)),
            ModelCard(id="ear", spec="deployments.transcription:SPEC", aliases=("whisper-1",)),
        ]
    )
    parts = (AudioEndpoints(world.path, catalog), OpenAI(world.path, catalog))
    application = Application([e for part in parts for e in part.endpoints()], "test")
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers={"authorization": f"Bearer {KEY}"}
    ) as client:
        yield client


def error_of(response):
    error = response.json()["error"]
    assert set(error) - {"carillon"} == {"message", "type", "param", "code"}
    return error


def asked(world):
    """The units that admission reserved for the last call."""
    return world.dispatcher.calls[-1].reserved


async def test_speech_streams_audio_of_the_type_asked_for(client, world):
    units = WorkUnits(characters=5)
    world.dispatcher.chunks = [Chunk(b"ID3", units), Chunk(b"\xff\xfb", units, last=True)]
    response = await client.post(
        SPEECH, json={"model": "tts-1", "input": "Hello", "voice": "alloy"}
    )
    assert response.headers["content-type"] == "audio/mpeg"
    assert "content-length" not in response.headers
    assert response.content == b"ID3\xff\xfb"
    assert asked(world) == units
    assert world.settlements()[-1].units == units


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"response_format": "opus"}, "audio/ogg"),
        ({"response_format": "pcm"}, "audio/pcm"),
        ({"response_format": "wav", "stream_format": "sse"}, "text/event-stream"),
    ],
)
async def test_the_media_type_follows_the_request(client, fields, kind):
    response = await client.post(SPEECH, json={"input": "Hello"} | fields)
    assert response.headers["content-type"].partition(";")[0] == kind


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": "x" * 4097}, "input"),
        ({"input": 7}, "input"),
        ({"speed": 0.2}, "speed"),
        ({"speed": 4.1}, "speed"),
        ({"speed": "fast"}, "speed"),
        ({"response_format": "ogg"}, "response_format"),
        ({"stream_format": "events"}, "stream_format"),
        ({"voice": ["a"]}, "voice"),
        ({"stream": True}, "stream"),
        ({"model": "ear"}, "model"),
    ],
)
async def test_a_bad_speech_request_is_named_and_costs_nothing(client, world, fields, param):
    response = await client.post(SPEECH, json={"input": "Hello"} | fields)
    assert (response.status_code, error_of(response)["param"]) == (400, param)
    assert not world.admission.events


async def test_the_older_speech_route_is_the_same_call(client, world):
    response = await client.post("/api/text-to-speech", json={"text": "Hello", "voice": "nova"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "audio/wav"
    assert asked(world).characters == 5
    response = await client.post("/api/text-to-speech", json={"text": ""})
    assert (response.status_code, error_of(response)["param"]) == (400, "text")


async def test_a_recording_reserves_its_seconds(client, world):
    world.dispatcher.reply = Reply(b'{"text":"hi"}', WorkUnits(audio_ms=2000))
    response = await client.post(
        TRANSCRIPTIONS,
        data={"model": "whisper-1", "temperature": "0", "timestamp_granularities[]": "segment"},
        files={"file": ("a.wav", SOUND, "audio/wav")},
    )
    assert response.json() == {"text": "hi"}
    assert asked(world).audio_ms == pytest.approx(2000, abs=20)
    assert world.settlements()[-1].units == WorkUnits(audio_ms=2000)


async def test_formats_that_are_text_are_bare_bodies(client, world):
    world.dispatcher.reply = Reply(b"WEBVTT\n", WorkUnits(), "text/vtt; charset=utf-8")
    response = await client.post(
        TRANSCRIPTIONS, data={"response_format": "vtt"}, files={"file": ("a.wav", SOUND)}
    )
    assert (response.content, response.headers["content-type"]) == (
        b"WEBVTT\n",
        "text/vtt; charset=utf-8",
    )


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, "/v1/audio/translations"])
async def test_transcripts_stream_as_events_when_asked(client, path):
    response = await client.post(path, data={"stream": "true"}, files={"file": ("a.wav", SOUND)})
    assert response.headers["content-type"].startswith("text/event-stream")


async def test_the_same_recording_again_is_a_cache_hit_and_another_is_not(client, world):
    for content, verdict in ((SOUND, "MISS"), (SOUND, "HIT"), (SOUND + b"\0\0", "MISS")):
        response = await client.post(TRANSCRIPTIONS, files={"file": ("a.wav", content)})
        assert response.headers["x-cache"] == verdict


async def test_a_recording_may_come_as_base64_in_json(client, world):
    response = await client.post(TRANSCRIPTIONS, json={"file": base64.b64encode(SOUND).decode()})
    assert response.status_code == 200
    assert asked(world).audio_ms == pytest.approx(2000, abs=20)
    response = await client.post(TRANSCRIPTIONS, json={"file": "not base64!"})
    assert (response.status_code, error_of(response)["param"]) == (400, "file")


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, "/v1/models/ear/transcribe"])
async def test_a_recording_by_url_is_refused_in_words(client, world, path):
    response = await client.post(path, json={"file": "https://example.com/a.wav"})
    assert (response.status_code, error_of(response)["param"]) == (400, "file")
    assert "not fetched" in error_of(response)["message"]
    assert not world.admission.events


@pytest.mark.parametrize(
    ("data", "files", "param"),
    [
        ({}, {"file": ("a.wav", b"")}, "file"),
        ({}, {"file": ("a.wav", encoded(tone(0), "wav"))}, "file"),
        ({}, {"sound": ("a.wav", SOUND)}, "sound"),
        ({"language": "../../etc"}, {"file": ("a.wav", SOUND)}, "language"),
        ({"temperature": "2"}, {"file": ("a.wav", SOUND)}, "temperature"),
        ({"temperature": "nan"}, {"file": ("a.wav", SOUND)}, "temperature"),
        ({"response_format": "docx"}, {"file": ("a.wav", SOUND)}, "response_format"),
        ({"speakers": "2"}, {"file": ("a.wav", SOUND)}, "speakers"),
        (
            {"timestamp_granularities[]": "letter"},
            {"file": ("a.wav", SOUND)},
            "timestamp_granularities.0",
        ),
    ],
)
async def test_a_bad_recording_or_field_is_named_and_costs_nothing(
    client, world, data, files, param
):
    response = await client.post(TRANSCRIPTIONS, data=data, files=files)
    assert (response.status_code, error_of(response)["param"]) == (400, param)
    assert not world.admission.events


async def test_a_form_without_a_recording_and_a_body_that_is_no_form_are_refused(client):
    response = await client.post(TRANSCRIPTIONS, files={"model": (None, "ear")})
    assert (response.status_code, error_of(response)["param"]) == (400, "file")
    response = await client.post(
        TRANSCRIPTIONS, content=SOUND, headers={"content-type": "audio/wav"}
    )
    assert response.status_code == 415


async def test_a_recording_over_the_limit_is_refused(client, world):
    response = await client.post(TRANSCRIPTIONS, files={"file": ("a.wav", b"x" * (26 * 2**20))})
    assert (response.status_code, error_of(response)["param"]) == (400, "file")
    response = await client.post(TRANSCRIPTIONS, files={"file": ("a.wav", b"x" * (40 * 2**20))})
    assert response.status_code == 413
    assert not world.admission.events


@pytest.mark.parametrize("name", ["file", "audio"])
async def test_the_older_transcription_route_answers_text(client, world, name):
    world.dispatcher.reply = Reply(b'{"text":"hi","language":"en"}', WorkUnits(audio_ms=2000))
    response = await client.post("/api/speech-to-text", files={name: ("a.wav", SOUND)})
    answer = response.json()
    assert (answer["text"], answer["language"], answer["model"]) == ("hi", "en", "ear")
    assert answer["cached"] is False


async def test_voices_cost_nothing_and_models_are_those_that_speak(client, world):
    world.dispatcher.reply = Reply(b'{"voices":[]}')
    assert (await client.get("/v1/audio/voices?model=voice")).json() == {"voices": []}
    assert world.used(Meter.TOKENS) == 0
    response = await client.get("/v1/audio/models")
    assert response.json()["models"] == [{"id": "voice"}]
    response = await client.get("/v1/audio/voices?modle=voice")
    assert (response.status_code, error_of(response)["param"]) == (400, "modle")


async def test_models_that_a_key_may_not_use_are_not_listed():
    world = World(principal(allowed_models=frozenset({"ear"})))
    catalog = Catalog([ModelCard(id="voice", spec="deployments.speech:SPEC")])
    application = Application(AudioEndpoints(world.path, catalog).endpoints(), "test")
    transport = httpx.ASGITransport(application)
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://t", headers=headers) as http:
        assert (await http.get("/v1/audio/models")).json()["models"] == []
        assert (await http.post(SPEECH, json={"input": "Hello"})).status_code == 403
