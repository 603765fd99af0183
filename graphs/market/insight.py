"""The branches of a market insight: history, forecast, risk and sentiment at the same time.

Place in the path: the graph's replica. No branch needs another's answer, so the report takes as
long as the slowest of them. The chart is drawn while the commentary, if any, is written.
"""

import asyncio
import base64
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson

from core.chat import ChatRequest
from core.errors import InvalidRequest
from core.forecast import ForecastRequest, HistoryRequest, RiskRequest, SentimentRequest
from core.market import COMMENTARY_OUTPUT_TOKENS, InsightRequest
from core.model import CallContext, Frozen, Reply
from graphs.branches import together
from graphs.market.report import Parts, chart_data, report
from graphs.market.summary import summary
from graphs.step import Step

INSTRUCTION = (
    "You explain a report on the price of a coin to its reader in at most three sentences of plain"
    " English. Use only what the report says. Add no numbers, no advice and no causes."
)
NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")

Document = dict[str, Any]


class MarketSettings(Frozen):
    """`engine` settings of market insight."""

    name: str = "market-insight"
    """Name that answers carry."""
    forecast: str
    """Id of the forecast model."""
    chat: str | None = None
    """Id of the chat model that writes commentaries; None refuses them."""


class MarketInsight:
    """One forecast model, a pen, and perhaps a chat model."""

    def __init__(self, settings: MarketSettings) -> None:
        from graphs.market.chart import Chart

        self.settings = settings
        self.forecaster = Step(settings.forecast)
        self.writer = None if settings.chat is None else Step(settings.chat)
        self.chart = Chart()
        self.drawing = ThreadPoolExecutor(1, "chart")  # matplotlib is not safe with threads

    async def run(self, request: InsightRequest, call: CallContext) -> Reply:
        """The report: numbers, text, and a chart with its data."""
        if request.commentary and self.writer is None:
            raise InvalidRequest("no chat model is configured for commentaries", "commentary")
        parts = await self._parts(request, call)
        numbers = report(request, parts)
        text = summary(request, numbers)
        chart, commentary = await together(
            [self._chart(request, parts, numbers), self._commentary(request, text, call)]
        )
        body = {
            "id": f"insight-{call.request_id}",
            "object": "market.insight",
            "created": int(time.time()),
            "model": self.settings.name,
            **numbers,
            "summary": text,
            "commentary": commentary,
            "chart": chart,
            "usage": call.done.nonzero(),
        }
        return Reply(orjson.dumps(body), call.done)

    async def _parts(self, request: InsightRequest, call: CallContext) -> Parts:
        """All branches."""
        symbol = request.symbol
        ahead = ForecastRequest(
            symbol=symbol, horizon=request.days, method=request.method, interval=request.interval
        )
        branches = [
            self._ask("history", HistoryRequest(symbol=symbol, days=request.history_days), call),
            self._ask("forecast", ahead, call),
            self._ask("risk", RiskRequest(symbol=symbol, window=request.window), call),
        ]
        if request.texts is not None:
            heard = SentimentRequest(symbol=symbol, texts=request.texts)
            branches.append(self._ask("sentiment", heard, call))
        history, forecast, risk, *sentiment = await together(branches)
        return Parts(history, forecast, risk, sentiment[0] if sentiment else None)

    async def _ask(self, operation: str, request: Any, call: CallContext) -> Document:
        reply = await self.forecaster.answer(operation, request, call)
        body: Document = orjson.loads(reply.body)
        return body

    async def _chart(
        self, request: InsightRequest, parts: Parts, numbers: Document
    ) -> Document | None:
        """The chart's data, and the picture of it."""
        if request.chart is None:
            return None
        data = chart_data(request, parts)
        loop = asyncio.get_running_loop()
        picture = await loop.run_in_executor(self.drawing, self.chart.png, request, data, numbers)
        return {
            "media_type": "image/png",
            "width": request.chart.width,
            "height": request.chart.height,
            "b64_json": base64.b64encode(picture).decode(),
            "data": data,
        }

    async def _commentary(
        self, request: InsightRequest, text: str, call: CallContext
    ) -> Document | None:
        """What the chat model says of the summary, and which of its numbers are its own."""
        if not request.commentary or self.writer is None:
            return None
        asked = ChatRequest.model_validate(
            {
                "messages": [
                    {"role": "system", "content": INSTRUCTION},
                    {"role": "user", "content": text},
                ],
                "max_tokens": COMMENTARY_OUTPUT_TOKENS,
                "temperature": 0,
            }
        )
        reply = await self.writer.answer("chat", asked, call)
        said = str(orjson.loads(reply.body)["choices"][0]["message"]["content"] or "").strip()
        known = set(NUMBER.findall(text))
        invented = [number for number in NUMBER.findall(said) if number not in known]
        return {"model": self.writer.model, "text": said, "unsupported_numbers": invented}
