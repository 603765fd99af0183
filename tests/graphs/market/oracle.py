"""A forecast model and a chat model for market insight: prices that rise, and canned words."""

import asyncio
import json
import time
from datetime import date, timedelta
from typing import Any

from core.errors import NotFound
from core.model import CallContext, Reply
from core.work import WorkUnits

LAST_DAY = date(2026, 10, 31)
LAST = 200.0


class Oracle:
    """In place of the step that calls a forecast model. Each answer takes `wait_s`."""

    model = "forecast"

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.wait_s = 0.0
        self.known = 400
        """Days of history."""
        self.mood = "bullish"
        self.ends: list[float] = []

    async def answer(self, operation: str, request: Any, call: CallContext) -> Reply:
        self.asked.append((operation, request))
        await asyncio.sleep(self.wait_s)
        if request.symbol == "NOPE":
            raise NotFound("no configured source knows the coin 'NOPE'", "symbol")
        body, units = getattr(self, f"_{operation}")(request)
        call.done += units
        self.ends.append(time.perf_counter())
        return Reply(json.dumps(body).encode(), units)

    def _history(self, request: Any) -> tuple[dict[str, Any], WorkUnits]:
        count = min(request.days, self.known)
        points = [
            {
                "time": (LAST_DAY - timedelta(days=back)).isoformat(),
                "close": LAST - back,
                "volume": None,
            }
            for back in range(count - 1, -1, -1)
        ]
        body = {"source": "file", "as_of": LAST_DAY.isoformat(), "points": points}
        return body, WorkUnits(rows=count)

    def _forecast(self, request: Any) -> tuple[dict[str, Any], WorkUnits]:
        steps = [
            {
                "step": step,
                "time": (LAST_DAY + timedelta(days=step)).isoformat(),
                "value": LAST + step,
                "lower": LAST - 2 * step,
                "upper": LAST + 4 * step,
            }
            for step in range(1, request.horizon + 1)
        ]
        body = {
            "method": request.method,
            "as_of": LAST_DAY.isoformat(),
            "last_value": LAST,
            "horizon": request.horizon,
            "interval": request.interval,
            "predictions": steps,
        }
        return body, WorkUnits(rows=97 + request.horizon)

    def _risk(self, request: Any) -> tuple[dict[str, Any], WorkUnits]:
        body = {
            "from": "2025-11-01",
            "as_of": LAST_DAY.isoformat(),
            "observations": 364,
            "volatility_daily": 0.03,
            "volatility_annualized": 0.573,
            "value_at_risk": {"95": 0.048, "99": 0.08},
            "expected_shortfall": {"95": 0.06, "99": 0.09},
            "max_drawdown": {"value": 0.3, "peak": "2026-01-05", "trough": "2026-04-09"},
            "sharpe_ratio": 0.7,
            "total_return": 0.4,
        }
        return body, WorkUnits(rows=min(request.window, self.known))

    def _sentiment(self, request: Any) -> tuple[dict[str, Any], WorkUnits]:
        texts = [
            {"index": index, "label": self.mood, "score": 0.5}
            for index in range(len(request.texts))
        ]
        body = {"label": self.mood, "score": 0.5, "texts": texts}
        return body, WorkUnits(characters=sum(len(text) for text in request.texts))


class Writer:
    """In place of the step that calls a chat model."""

    model = "qwen3-1.7b"

    def __init__(self, words: str) -> None:
        self.words = words
        self.asked: list[Any] = []

    async def answer(self, operation: str, request: Any, call: CallContext) -> Reply:
        assert operation == "chat"
        self.asked.append(request)
        units = WorkUnits(input_tokens=300, output_tokens=20)
        call.done += units
        body = {"choices": [{"message": {"role": "assistant", "content": self.words}}]}
        return Reply(json.dumps(body).encode(), units)
