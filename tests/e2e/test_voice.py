"""Voice through HAProxy, the gateway and the starter's models: one turn, and a conversation."""

import asyncio
import base64
import json
import time
from typing import Any

import pytest
import websockets

from core.pcm import BYTES_PER_MS
from core.sse import EventReader
from tests.e2e.test_chat import settled

pytestmark = pytest.mark.timeout(300)
PATIENCE = {"timeout": 120.0, "max_retries": 8}


async def spoken(client, text):
    """PCM of `text`, by the starter's voice."""
    speech = await client.audio.speech.create(
        model="starter-speech", voice="alto", input=text, response_format="pcm"
    )
    return speech.content


async def until(connection, kind):
    seen: list[Any] = []
    async with asyncio.timeout(120):
        while not seen or seen[-1].type != kind:
            seen.append(await connection.recv())
    return {event.type: event for event in seen}, seen


async def test_a_question_is_answered_by_sound_that_says_the_answer(pro):
    async with pro.openai(**PATIENCE) as client:
        answer = await client.post(
            "/voice",
            body={"text": "Tell me a joke.", "format": "pcm", "voice": "tenor"},
            cast_to=dict,
        )
        sound = base64.b64decode(answer["audio"]["data"])
        assert answer["text"]
        assert answer["usage"]["characters"] > 0
        # A voice says 8 to 30 characters a second.
        assert 30 < len(sound) / BYTES_PER_MS / len(answer["text"]) < 250
    rows = await settled(pro, 1)
    assert rows[0]["model"] == "starter-voice"


async def test_a_conversation_by_the_official_client_hears_answers_speaks_and_is_billed(pro):
    async with pro.openai(**PATIENCE) as client:
        said = await spoken(client, "Play the music again.")
        async with client.realtime.connect(model="gpt-realtime") as connection:
            await connection.session.update(
                session={
                    "type": "realtime",
                    "audio": {"input": {"turn_detection": None, "transcription": {}}},
                }
            )
            await connection.input_audio_buffer.append(audio=base64.b64encode(said).decode())
            await connection.input_audio_buffer.commit()
            await connection.response.create()
            told, events = await until(connection, "response.done")
    heard = told["conversation.item.input_audio_transcription.completed"].transcript
    assert {"play", "music", "again"} <= set(heard.lower().split())
    done = told["response.done"].response
    assert done.status == "completed"
    sound = b"".join(
        base64.b64decode(e.delta) for e in events if e.type == "response.output_audio.delta"
    )
    text = done.output[0].content[0].transcript
    assert 30 < len(sound) / BYTES_PER_MS / len(text) < 250
    rows = await settled(pro, 3)
    models = [row["model"] for row in rows]
    assert sorted(models) == ["starter-speech", "starter-transcribe", "starter-voice"]
    voice = rows[models.index("starter-voice")]
    assert voice["output_tokens"] == done.usage.output_tokens > 0


async def test_an_answer_that_is_cut_short_while_it_is_spoken_does_not_end_the_conversation(pro):
    async with (
        pro.openai(**PATIENCE) as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        text = {"type": "input_text", "text": "Tell me a story."}
        item: Any = {"type": "message", "role": "user", "content": [text]}
        for _ in range(2):
            await connection.conversation.item.create(item=item)
            await connection.response.create()
            told, _ = await until(connection, "response.output_audio.delta")
            answer = told["response.output_audio.delta"].item_id
            await connection.conversation.item.truncate(
                item_id=answer, content_index=0, audio_end_ms=0
            )
            told, _ = await until(connection, "response.done")
            assert told["response.done"].response.status == "completed"
    await settled(pro, 2)


async def test_sound_begins_before_the_answer_is_whole(pro, figure):
    asked = {"text": "Tell me a story.", "format": "pcm", "stream": True}
    reader, kinds = EventReader(), []
    async with pro.http() as client:
        await client.post("/v1/voice", json=asked | {"stream": False}, timeout=120)  # all awake
        asked["instructions"] = "Tell another one."  # not from the cache
        began, first_s = time.perf_counter(), 0.0
        async with client.stream("POST", "/v1/voice", json=asked, timeout=120) as response:
            async for piece in response.aiter_bytes():
                kinds += [event["type"] for event in reader.feed(piece)]
                if "voice.audio.delta" in kinds:
                    first_s = first_s or time.perf_counter() - began
        whole_s = time.perf_counter() - began
    assert kinds[-1] == "voice.done"
    figure("voice: request to first sound", 1000 * first_s, "ms")
    figure("voice: request to the end", 1000 * whole_s, "ms")
    assert kinds.count("voice.sentence") == 1 or first_s < whole_s


async def test_a_client_that_goes_away_is_billed_for_what_was_spoken(pro):
    asked = {"text": "Tell me a story.", "format": "pcm", "stream": True, "instructions": "Go."}
    async with (
        pro.http() as client,
        client.stream("POST", "/v1/voice", json=asked, timeout=120) as response,
    ):
        async for piece in response.aiter_bytes():
            if b"voice.text.delta" in piece:
                break
    (row,) = await settled(pro, 1)
    assert (row["status_code"], row["exact"]) == (499, True), row
    assert row["output_tokens"] >= 1


def spoken_to(cluster, key):
    url = cluster.base_url.replace("http", "ws", 1) + "/v1/realtime"
    return websockets.connect(url, additional_headers={"authorization": f"Bearer {key}"})


async def test_a_conversation_that_breaks_off_is_billed_to_there(cluster, pro):
    content = [{"type": "input_text", "text": "Tell me a story."}]
    item = {"type": "message", "role": "user", "content": content}
    async with asyncio.timeout(120), spoken_to(cluster, pro.key) as socket:
        await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
        await socket.send(json.dumps({"type": "response.create"}))
        async for message in socket:
            if json.loads(message)["type"] == "response.output_audio_transcript.delta":
                break
        socket.transport.abort()
    (row,) = await settled(pro, 1)
    assert (row["status_code"], row["exact"], row["endpoint"]) == (499, True, "/v1/realtime"), row
    assert row["output_tokens"] >= 1


async def test_conversations_side_by_side_do_not_mix_and_each_response_has_its_row(pro, figure):
    waits = []

    async def converse(client, number):
        async with client.realtime.connect(model="gpt-realtime") as connection:
            await connection.session.update(
                session={"type": "realtime", "output_modalities": ["text"]}
            )
            for turn in range(3):
                said = {"type": "input_text", "text": f"My name is Ann{number}. Turn {turn}."}
                await connection.conversation.item.create(
                    item={"type": "message", "role": "user", "content": [said]}
                )
                began = time.perf_counter()
                await connection.response.create()
                told, _ = await until(connection, "response.done")
                waits.append(time.perf_counter() - began)
                assert told["response.done"].response.status == "completed"

    async with pro.openai(**PATIENCE) as client:
        await asyncio.gather(*(converse(client, number) for number in range(6)))
    rows = await settled(pro, 18)
    assert len(rows) == 18
    assert len({json.loads(row["details"])["trace_id"] for row in rows}) == 6
    figure("realtime: a written response, 6 at once, median", 1000 * sorted(waits)[9], "ms")


async def test_a_wrong_key_is_told_in_the_handshake(cluster):
    with pytest.raises(websockets.InvalidStatus) as caught:
        async with spoken_to(cluster, "ck-no"):
            pass
    assert caught.value.response.status_code == 401
    assert b"invalid_api_key" in caught.value.response.body
