"""Market insight over HTTP: one report with a chart, by bytes or by URL.

Place in the path: step 1, and after step 5. The request is the graph's own type plus how the chart
travels; only when a caller wants a URL is the picture put into the media store here, after the call
was settled. Nothing is computed.

    POST /v1/forecasts/insights
"""

import base64
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from auth.principal import Scope
from core.market import InsightRequest
from ingress.catalog import Catalog
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange, validate
from ingress.media.origin import origin_of
from ingress.media.store import Publisher
from ingress.path import RequestPath
from ingress.responses import answer_response, json_response

MAX_BODY_BYTES = 2 * 2**20
"""Room for the most texts."""


class ChartDelivery(BaseModel):
    """How the chart travels."""

    model_config = ConfigDict(extra="forbid")

    response_format: Literal["url", "b64_json"] = "b64_json"


class InsightCall(ChartDelivery, InsightRequest):
    """POST /v1/forecasts/insights."""


class MarketEndpoints:
    """Handlers over the request path."""

    def __init__(self, path: RequestPath, catalog: Catalog, publisher: Publisher) -> None:
        self._path = path
        self._catalog = catalog
        self._publisher = publisher

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "POST",
                "/v1/forecasts/insights",
                self.insights,
                "Sentiment, forecast and risk in one report, with a chart",
                InsightCall,
                max_body_bytes=MAX_BODY_BYTES,
            )
        ]

    async def insights(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        document = await exchange.document()
        asked = {name: document.pop(name) for name in DELIVERY if name in document}
        delivery = validate(ChartDelivery, asked)
        call = exchange.call(self._catalog, "insights", document)
        if delivery.response_format != "url":
            return answer_response(await self._path.answer(call, exchange.key, principal))
        # Asked before the work, which would be billed and then have nowhere to go.
        await self._publisher.require_room(principal)
        answer = await self._path.answer(call, exchange.key, principal)
        body: dict[str, Any] = orjson.loads(answer.body)
        if (chart := body["chart"]) is not None:
            data = base64.b64decode(chart.pop("b64_json"))
            chart["url"] = await self._publisher.publish(
                principal, data, chart["media_type"], origin_of(exchange)
            )
        return json_response(body)


DELIVERY = tuple(ChartDelivery.model_fields)
