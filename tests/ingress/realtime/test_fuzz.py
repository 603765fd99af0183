"""Whatever a client sends, the session answers or refuses: nothing breaks it from inside."""

import asyncio
import base64
import json
import random
from typing import Any

import pytest
import websockets

from core.pcm import PCM_RATE
from ingress.realtime.client_events import EVENTS
from tests.deployments.sounds import tone
from tests.fakes.dispatch import KEY
from tests.fakes.voice import pcm
from tests.ingress.realtime.world import served

SOUND = base64.b64encode(pcm(tone(0.3, PCM_RATE))).decode()
ODD: list[Any] = [None, "", "x", 7, -1, 1.5, True, [], {}, [{}], {"a": {}}, "root", "\u0000", SOUND]
PARTS = [
    {"type": "input_text", "text": "One. Two."},
    {"type": "input_audio", "audio": SOUND},
    {"type": "output_text", "text": "Three."},
]
GOOD = {
    "session": [
        {"audio": {"input": {"turn_detection": None}}},
        {"audio": {"input": {"turn_detection": {"type": "server_vad"}}}},
        {"audio": {"input": {"transcription": {}}}},
        {"output_modalities": ["text"]},
    ],
    "audio": [SOUND, base64.b64encode(bytes(48_001)).decode()],
    "item": [
        {"type": "message", "role": role, "content": [part], "id": f"i{number}"}
        for number, part in enumerate(PARTS)
        for role in ("user", "assistant", "system")
    ],
    "item_id": ["i0", "i1", "i2"],
    "previous_item_id": ["root", "i0"],
    "content_index": [0],
    "audio_end_ms": [0, 100, 10**9],
    "response": [
        None,
        {"conversation": "none"},
        {"input": [{"type": "item_reference", "id": "i0"}]},
    ],
    "response_id": [None],
}


def event(dice):
    """A client event, mostly well formed."""
    kind = dice.choice(list(EVENTS))
    names = [name for name in EVENTS[kind].model_fields if name not in ("type", "event_id")]
    made = {"type": kind}
    for name in names:
        made[name] = dice.choice(ODD if dice.random() < 0.1 else GOOD[name])
    return made


@pytest.mark.parametrize("seed", range(4))
async def test_a_session_outlives_whatever_it_is_sent(seed):
    dice = random.Random(seed)
    async with (
        served(sentence_s=0.002) as gateway,
        websockets.connect(
            gateway.socket_url, additional_headers={"authorization": f"Bearer {KEY}"}
        ) as socket,
    ):
        kinds = set()

        async def read():
            async for text in socket:
                kinds.add(json.loads(text)["type"])

        reading = asyncio.create_task(read())
        for _ in range(300):
            await socket.send(json.dumps(event(dice)))
            await asyncio.sleep(0.001)
        await socket.send('{"type": "session.update", "session": {"instructions": "end"}}')
        await asyncio.sleep(0.3)
        assert not reading.done(), (socket.close_code, socket.close_reason)
        reading.cancel()
    assert {"error", "response.created", "session.updated", "conversation.item.added"} <= kinds
