"""200 callers at once against a budget for exactly N, for every meter: N are served, and no more.

Through the whole application, on real Valkey and PostgreSQL; only the models are stand-ins, held
back until everybody has asked.
"""

import asyncio
import base64
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx
import pytest

from auth.prices import PriceBook
from core.model import Chunk, Reply
from core.work import WorkUnits
from tests.auth.servers import Valkey
from tests.ingress.test_audio_http import SOUND
from tests.ingress.whole_gateway import Whole, whole_gateway

CALLERS = 200
ROOM = 7
"""How many requests the budget is for."""
EUR_PER_TOKEN = Decimal("0.001")
PRICES = PriceBook("v1", "EUR", models={"echo": {"input_tokens": 10**9, "output_tokens": 10**9}})
CHAT = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 20}


@dataclass(frozen=True)
class Budget:
    """A request of one modality, and what it is counted by."""

    meter: str
    model: str
    operation: str
    body: dict[str, Any]

    @property
    def path(self) -> str:
        return f"/v1/models/{self.model}/{self.operation}"


BUDGETS = [
    Budget("tokens", "echo", "chat", CHAT),
    Budget("characters", "starter-speech", "speak", {"input": "Good evening to everybody."}),
    Budget("pixel_steps", "starter-image", "generate", {"prompt": "a red circle"}),
    Budget(
        "audio_ms",
        "starter-transcribe",
        "transcribe",
        {"file": base64.b64encode(SOUND).decode()},
    ),
    Budget("video_pixel_ms", "starter-video", "animate", {"prompt": "a red circle"}),
    Budget("rows", "fraud", "analyse", {"kind": "transaction", "rows": [{"amount": 9.0}] * 4}),
    Budget("requests", "echo", "chat", CHAT),
    Budget("money", "echo", "chat", CHAT),
    Budget("concurrency", "echo", "chat", CHAT),
]


@pytest.fixture
async def whole(database_url: str, valkey_server: Valkey, tmp_path):
    async with whole_gateway(database_url, valkey_server.url, tmp_path, PRICES) as whole:
        yield whole


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda budget: budget.meter)
async def test_exactly_what_fits_is_admitted_and_then_exactly_what_is_left(whole: Whole, budget):
    token = (await whole.world.owner())["access_token"]
    made = (await whole.world.post("/v1/api-keys", {"name": "crowd"}, token)).json()
    async with whole.world.client(made["key"]) as client:
        asked = await explained(client, budget)
        whole.dispatcher.reply = Reply(b"{}", half(asked["bound"]))
        whole.dispatcher.chunks = [Chunk(b"sound", half(asked["bound"]), last=True)]
        limit = amount(asked["bound"], budget) * ROOM
        said = float(limit) if budget.meter == "money" else limit
        limits = {budget.meter: said if budget.meter == "concurrency" else {"day": said}}
        edited = await whole.world.patch(f"/v1/api-keys/{made['id']}", {"limits": limits}, token)
        assert edited.status_code == 200, edited.text

        assert await crowd(whole, client, budget) == {200: ROOM, 429: CALLERS - ROOM}

        window = next(
            w for w in (await explained(client, budget))["windows"] if w["scope"] == "key"
        )
        used = amount(whole.dispatcher.reply.units.nonzero(), budget) * ROOM
        left = limit if budget.meter == "concurrency" else limit - used
        assert window["remaining"] == pytest.approx(float(left), abs=1e-12)
        fits = fitting(window)
        expected = {200: fits, 429: CALLERS - fits}
        assert await crowd(whole, client, budget) == {k: v for k, v in expected.items() if v}


async def explained(client: httpx.AsyncClient, budget: Budget) -> dict[str, Any]:
    """What one request would be charged, and where its windows stand."""
    question = {"operation": budget.operation, "request": budget.body | {"model": budget.model}}
    answer = await client.post("/v1/explain", json=question)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def amount(units: dict[str, int], budget: Budget) -> Any:
    """Of one request, as limits and windows write it."""
    tokens = units.get("input_tokens", 0) + units.get("output_tokens", 0)
    once = {"requests": 1, "concurrency": 1, "tokens": tokens}
    if budget.meter == "money":
        return Decimal(tokens) * EUR_PER_TOKEN
    return once.get(budget.meter) or units[budget.meter]


def half(units: dict[str, int]) -> WorkUnits:
    """What the work takes in the end: less than was reserved."""
    return WorkUnits(**{name: (count + 1) // 2 for name, count in units.items()})


def fitting(window: dict[str, Any]) -> int:
    """How many more fit."""
    return int(Decimal(str(window["remaining"])) // Decimal(str(window["asked"])))


async def crowd(whole: Whole, client: httpx.AsyncClient, budget: Budget) -> dict[int, int]:
    """Statuses of many callers whose answers are held back until the last has been judged."""
    whole.dispatcher.gate = asyncio.Event()
    before = len(whole.dispatcher.calls)
    headers = {"cache-control": "no-store"}  # nobody is answered from another's answer
    asking = [
        asyncio.ensure_future(client.post(budget.path, json=budget.body, headers=headers))
        for _ in range(CALLERS)
    ]
    async with asyncio.timeout(60):
        while sum(t.done() for t in asking) + len(whole.dispatcher.calls) - before < CALLERS:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    whole.dispatcher.gate.set()
    return dict(Counter([(await answer).status_code for answer in asking]))
