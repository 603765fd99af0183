"""Who may connect, what a connection may send, and how the end is told."""

import asyncio
import base64
import json

import httpx
import pytest
import websockets

from auth.principal import Scope
from core.pcm import PCM_RATE
from ingress.realtime.settings import RealtimeSettings
from tests.deployments.sounds import tone
from tests.fakes.dispatch import KEY, principal
from tests.fakes.voice import pcm
from tests.ingress.realtime.world import served

BEARER = {"authorization": f"Bearer {KEY}"}
SOUND = base64.b64encode(pcm(tone(1.0, PCM_RATE))).decode()


@pytest.fixture
async def gateway():
    async with served() as found:
        yield found


def connect(gateway, query="", headers=BEARER, **options):
    return websockets.connect(gateway.socket_url + query, additional_headers=headers, **options)


async def told(socket, **event):
    """The next event, after `event` was sent."""
    if event:
        await socket.send(json.dumps(event))
    async with asyncio.timeout(5):
        return json.loads(await socket.recv())


@pytest.fixture
async def socket(gateway):
    async with connect(gateway) as socket:
        assert (await told(socket))["type"] == "session.created"
        off = {"audio": {"input": {"turn_detection": None}}}
        assert (await told(socket, type="session.update", session=off))["type"] == "session.updated"
        yield socket


@pytest.mark.parametrize(
    ("query", "headers", "status", "code"),
    [
        ("", {}, 401, "missing_api_key"),
        ("", {"authorization": "Bearer ck-wrong"}, 401, "invalid_api_key"),
        ("", {"authorization": "Basic abc"}, 401, "invalid_api_key"),
        ("?model=nobody", BEARER, 404, "model_not_found"),
        ("?model=echo", BEARER, 400, "invalid_request"),
        ("?intent=transcription", BEARER, 400, "unknown_parameter"),
    ],
)
async def test_a_refused_handshake_is_an_http_answer_with_the_usual_error(
    gateway, query, headers, status, code
):
    with pytest.raises(websockets.InvalidStatus) as caught:
        async with connect(gateway, query, headers):
            pass
    response = caught.value.response
    assert response.status_code == status
    assert json.loads(response.body)["error"]["code"] == code
    assert ("www-authenticate" in response.headers) == (status == 401)
    assert gateway.refused == [("/v1/realtime", status)]


async def test_a_key_without_the_scope_or_the_model_is_refused():
    for who in (
        principal(scopes=frozenset({Scope.USAGE})),
        principal(allowed_models=frozenset({"echo"})),
    ):
        async with served(who) as gateway:
            with pytest.raises(websockets.InvalidStatus) as caught:
                async with connect(gateway):
                    pass
            assert caught.value.response.status_code == 403


async def test_browsers_bring_their_key_as_a_subprotocol_and_are_told_by_an_event(gateway):
    good = ["realtime", f"openai-insecure-api-key.{KEY}"]
    async with connect(gateway, headers={}, subprotocols=good) as socket:
        assert socket.subprotocol == "realtime"
        assert (await told(socket))["type"] == "session.created"
    assert not gateway.refused
    bad = ["realtime", "openai-insecure-api-key.ck-wrong"]
    async with connect(gateway, headers={}, subprotocols=bad) as socket:
        event = await told(socket)
        assert (event["type"], event["error"]["code"]) == ("error", "invalid_api_key")
        assert "ck-wrong" not in json.dumps(event)
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
        assert (socket.close_code, socket.close_reason) == (3000, "invalid_api_key")
    assert gateway.refused == [("/v1/realtime", 401)]


async def test_a_connection_that_breaks_is_counted_and_closed(gateway, monkeypatch):
    async def breaks(self):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("ingress.realtime.connection.Connection.run", breaks)
    async with connect(gateway) as socket:
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
    assert socket.close_code == 1008
    assert gateway.refused == [("/v1/realtime", 500)]


async def test_the_path_is_a_socket_and_other_sockets_there_are_none(gateway):
    async with httpx.AsyncClient(base_url=gateway.base_url) as client:
        response = await client.get("/realtime")
    assert response.status_code == 400
    assert "WebSocket" in response.json()["error"]["message"]
    with pytest.raises(websockets.InvalidStatus) as caught:
        async with websockets.connect(gateway.socket_url + "/else"):
            pass
    assert caught.value.response.status_code == 404
    assert gateway.refused == [("none", 404)]


@pytest.mark.parametrize(
    ("event", "param"),
    [
        ({"type": "session.upgrade"}, "type"),
        ({"type": 7}, "type"),
        ({}, "type"),
        ({"type": "session.update"}, "session"),
        ({"type": "input_audio_buffer.append", "audio": "!"}, "audio"),
        ({"type": "input_audio_buffer.append", "audio": ""}, "audio"),
        ({"type": "input_audio_buffer.append", "audio": SOUND, "rate": 8000}, "rate"),
        ({"type": "input_audio_buffer.commit"}, None),
        ({"type": "conversation.item.delete", "item_id": "x"}, "item_id"),
        ({"type": "conversation.item.create", "item": {"type": "function_call"}}, "item.type"),
        (
            {
                "type": "conversation.item.create",
                "item": {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "input_audio", "audio": SOUND}],
                },
            },
            "item.content.0.type",
        ),
        ({"type": "response.cancel"}, "response_id"),
        ({"type": "response.create", "response": {"tools": [{}]}}, "response.tools"),
        (
            {"type": "response.create", "response": {"metadata": {"a": "b" * 513}}},
            "response.metadata.a",
        ),
        (
            {"type": "response.create", "response": {"input": [{"type": "message"}]}},
            "response.input.0.role",
        ),
        (
            {
                "type": "response.create",
                "response": {"input": [{"type": "item_reference", "id": "x"}]},
            },
            "response.input.0.id",
        ),
    ],
)
async def test_a_bad_event_is_answered_by_its_id_and_changes_nothing(socket, event, param):
    answer = await told(socket, **event | {"event_id": "mine"})
    assert answer["type"] == "error"
    assert (answer["error"]["event_id"], answer["error"]["param"]) == ("mine", param)
    assert (await told(socket, type="input_audio_buffer.clear"))["type"].endswith("cleared")


@pytest.mark.parametrize("text", ["{", "[]", '"a"', "\x00", b"\xff\xfe"])
async def test_what_is_no_event_is_answered_and_the_session_goes_on(socket, text):
    await socket.send(text)
    assert (await told(socket))["type"] == "error"
    assert (await told(socket, type="input_audio_buffer.clear"))["type"].endswith("cleared")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": "echo"}, "session.model"),
        ({"type": "transcription"}, "session.type"),
        ({"tools": [{"type": "function", "name": "f"}]}, "session.tools"),
        ({"output_modalities": ["audio", "text"]}, "session.output_modalities"),
        (
            {"audio": {"input": {"format": {"type": "audio/pcmu"}}}},
            "session.audio.input.format.type",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}},
            "session.audio.input.turn_detection.type",
        ),
        (
            {"audio": {"input": {"noise_reduction": {"type": "near_field"}}}},
            "session.audio.input.noise_reduction",
        ),
        ({"audio": {"input": {"transcription": {"model": "nobody"}}}}, "model"),
        ({"audio": {"output": {"speed": 9}}}, "session.audio.output.speed"),
        ({"max_output_tokens": 0}, "session.max_output_tokens"),
        ({"prompt": {"id": "p"}}, "session.prompt"),
        ({"tracing": "auto"}, "session.tracing"),
        ({"colour": "red"}, "session.colour"),
    ],
)
async def test_what_a_session_cannot_be_is_refused_by_name(socket, change, param):
    answer = await told(socket, type="session.update", session=change)
    assert (answer["type"], answer["error"]["param"]) == ("error", param)


async def test_an_update_names_only_what_it_changes(socket):
    change = {"audio": {"output": {"voice": {"id": "low"}}}, "max_output_tokens": 7}
    session = (await told(socket, type="session.update", session=change))["session"]
    assert session["audio"]["input"]["turn_detection"] is None
    assert session["audio"]["output"]["voice"] == "low"
    change = {"audio": {"input": {"turn_detection": {"type": "server_vad"}}}}
    change["max_output_tokens"] = "inf"
    session = (await told(socket, type="session.update", session=change))["session"]
    assert session["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 500
    assert session["max_output_tokens"] == "inf"
    assert session["audio"]["output"]["voice"] == "low"


async def closed(socket):
    """The events to the end, the close code and the reason."""
    events = []
    async with asyncio.timeout(5):
        try:
            while True:
                events.append(json.loads(await socket.recv()))
        except websockets.ConnectionClosed:
            return events, socket.close_code, socket.close_reason


async def test_a_buffer_has_an_end_and_so_has_what_waits_to_be_heard():
    limits = RealtimeSettings(buffer_s=2.5)
    async with served(limits=limits) as gateway, connect(gateway) as socket:
        await told(socket)
        off = {"audio": {"input": {"turn_detection": None}}}
        await told(socket, type="session.update", session=off)
        append = {"type": "input_audio_buffer.append", "audio": SOUND}
        for _ in range(3):
            await socket.send(json.dumps(append))
        assert "2.5 seconds" in (await told(socket))["error"]["message"]
        kinds = [(await told(socket, type="input_audio_buffer.commit"))["type"]]
        kinds += [(await told(socket))["type"] for _ in range(2)]
        assert kinds[-1] == "conversation.item.done"
        await socket.send(json.dumps(append))
        refused = await told(socket, type="input_audio_buffer.commit")
        assert "wait to be answered" in refused["error"]["message"]


async def test_a_message_over_the_limit_and_a_flood_end_the_connection():
    limits = RealtimeSettings(message_bytes=4096, messages_per_s=1)
    async with served(limits=limits) as gateway:
        async with connect(gateway) as socket:
            await socket.send("x" * 5000)
            events, code, _ = await closed(socket)
            assert (events[-1]["type"], code) == ("error", 1009)
        async with connect(gateway) as socket:
            for _ in range(40):
                await socket.send('{"type": "input_audio_buffer.clear"}')
            events, code, reason = await closed(socket)
            assert (code, reason) == (1008, "rate_limit_exceeded")
            assert 25 <= sum(e["type"] == "input_audio_buffer.cleared" for e in events) <= 32


async def test_who_says_nothing_and_who_stays_too_long_is_told_to_go():
    for limits in (RealtimeSettings(idle_s=0.1), RealtimeSettings(session_s=0.1)):
        async with served(limits=limits) as gateway, connect(gateway) as socket:
            events, code, _ = await closed(socket)
            assert [e["type"] for e in events] == ["session.created", "error"]
            assert code == 1001


async def test_an_answer_that_takes_its_time_is_not_idleness():
    limits = RealtimeSettings(idle_s=0.15)
    async with served(limits=limits, sentence_s=0.5) as gateway, connect(gateway) as socket:
        await told(socket)
        item = {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "One."}],
        }
        await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
        await socket.send(json.dumps({"type": "response.create"}))
        events, _, _ = await closed(socket)
    done = next(e for e in events if e["type"] == "response.done")
    assert done["response"]["status"] == "completed"


async def test_a_key_has_so_many_connections_and_gets_them_back():
    limits = RealtimeSettings(connections_per_key=2)
    async with served(limits=limits) as gateway, connect(gateway) as one, connect(gateway):
        with pytest.raises(websockets.InvalidStatus) as caught:
            async with connect(gateway):
                pass
        assert caught.value.response.status_code == 429
        assert caught.value.response.headers["retry-after"] == "30"
        await one.close()
        await told_until_open(gateway)
    async with served(limits=RealtimeSettings(connections=0)) as gateway:
        with pytest.raises(websockets.InvalidStatus) as caught:
            async with connect(gateway):
                pass
        assert caught.value.response.status_code == 429


async def told_until_open(gateway):
    for _ in range(100):
        try:
            async with connect(gateway) as socket:
                return await told(socket)
        except websockets.InvalidStatus:
            await asyncio.sleep(0.02)
    raise AssertionError("no place came back")


async def test_a_key_that_is_revoked_ends_the_conversation_at_its_next_response(gateway):
    async with connect(gateway) as socket:
        await told(socket)
        item = {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "One."}],
        }
        await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
        gateway.world.identifier.known = None
        await socket.send(json.dumps({"type": "response.create"}))
        events, code, reason = await closed(socket)
    done = next(e for e in events if e["type"] == "response.done")
    assert done["response"]["status_details"]["error"]["code"] == "invalid_api_key"
    assert (events[-1]["type"], code, reason) == ("error", 3000, "invalid_api_key")
    assert not gateway.dispatcher.requests


@pytest.mark.parametrize("limits", [{"items": 2}, {"characters": 1000}])
async def test_the_oldest_items_give_way_and_the_client_is_told(limits):
    async with served(limits=RealtimeSettings(**limits)) as gateway, connect(gateway) as socket:
        await told(socket)
        for number in range(3):
            content = [{"type": "input_text", "text": "a" * 400}]
            item = {"type": "message", "role": "user", "id": f"i{number}", "content": content}
            await told(socket, type="conversation.item.create", item=item)
            await told(socket)
        event = await told(socket)
        assert (event["type"], event["item_id"]) == ("conversation.item.deleted", "i0")
