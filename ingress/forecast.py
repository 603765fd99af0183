"""Price forecasts over HTTP, and the paths of the system that had them before.

Place in the path: step 1. The coin of a path and the query of a GET become fields of the model's
own request; the rest is the request path. Nothing is decided here.

    POST /api/v1/crypto/predict   POST /v1/forecasts
    GET  /risk/{symbol}           GET  /v1/forecasts/{symbol}/risk
    GET  /sentiment/{symbol}      GET  /v1/forecasts/{symbol}/sentiment
    GET  /supported-coins         GET  /v1/forecasts/coins
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from auth.principal import Principal, Scope
from core.errors import InvalidRequest, UnknownParameter
from core.forecast import (
    LONGEST_HORIZON,
    CoinsRequest,
    ForecastRequest,
    HistoryRequest,
    RiskRequest,
    SentimentRequest,
    Symbol,
)
from ingress.catalog import Catalog
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.path import RequestPath
from ingress.queries import TextsQuery
from ingress.responses import answer_response

MAX_BODY_BYTES = 2 * 2**20
"""Room for the longest series, and for the most texts."""
SUPPLY_TEXTS = (
    'sentiment is read from texts that you supply: POST {"texts": [...]}, '
    "or GET with ?text=... (it can be repeated)"
)


class PredictRequest(BaseModel):
    """POST /api/v1/crypto/predict."""

    model_config = ConfigDict(extra="forbid")

    symbol: Symbol
    days: int = Field(7, ge=1, le=LONGEST_HORIZON)

    def as_forecast(self) -> dict[str, Any]:
        """The same request in our own words."""
        return {"symbol": self.symbol, "horizon": self.days}


class ForecastEndpoints:
    """Handlers over the request path."""

    def __init__(self, path: RequestPath, catalog: Catalog) -> None:
        self._path = path
        self._catalog = catalog

    def endpoints(self) -> list[Endpoint]:
        risk, sentiment = "/v1/forecasts/{symbol}/risk", "/v1/forecasts/{symbol}/sentiment"
        size = MAX_BODY_BYTES
        return [
            Endpoint(
                "POST",
                "/v1/forecasts",
                self.forecast,
                "The next days of a coin, or the next steps of a series",
                ForecastRequest,
                max_body_bytes=size,
            ),
            Endpoint(
                "GET", "/v1/forecasts/coins", self.coins, "Supported coins", query=CoinsRequest
            ),
            Endpoint(
                "GET",
                "/v1/forecasts/{symbol}/history",
                self.history,
                "Latest closes (?days=)",
                query=HistoryRequest,
            ),
            Endpoint("GET", risk, self.queried_risk, "Risk of a coin", query=RiskRequest),
            Endpoint("POST", risk, self.risk, "Risk of a coin", RiskRequest),
            Endpoint(
                "GET", sentiment, self.queried_sentiment, "Sentiment of texts", query=TextsQuery
            ),
            Endpoint(
                "POST",
                sentiment,
                self.sentiment,
                "Sentiment of supplied texts",
                SentimentRequest,
                max_body_bytes=size,
            ),
            Endpoint("POST", "/api/v1/crypto/predict", self.predict, "Alias", PredictRequest),
            Endpoint("GET", "/risk/{symbol}", self.queried_risk, "Alias", query=RiskRequest),
            Endpoint(
                "GET", "/sentiment/{symbol}", self.queried_sentiment, "Alias", query=TextsQuery
            ),
            Endpoint("GET", "/supported-coins", self.coins, "Alias", query=CoinsRequest),
        ]

    async def forecast(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        return await self._answer(exchange, principal, "forecast", await exchange.document())

    async def predict(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        document = (await exchange.parse(PredictRequest)).as_forecast()
        return await self._answer(exchange, principal, "forecast", document)

    async def coins(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        return await self._answer(exchange, principal, "coins", dict(exchange.http.query_params))

    async def history(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        document = _of_path(exchange, dict(exchange.http.query_params))
        return await self._answer(exchange, principal, "history", document)

    async def risk(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        document = _of_path(exchange, await exchange.document())
        return await self._answer(exchange, principal, "risk", document)

    async def queried_risk(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        document = _of_path(exchange, dict(exchange.http.query_params))
        return await self._answer(exchange, principal, "risk", document)

    async def sentiment(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        document = _of_path(exchange, await exchange.document())
        return await self._answer(exchange, principal, "sentiment", document)

    async def queried_sentiment(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        document: dict[str, Any] = dict(exchange.http.query_params)
        if document.pop("text", None) is None:
            raise InvalidRequest(SUPPLY_TEXTS, "texts")
        document["texts"] = exchange.http.query_params.getlist("text")
        return await self._answer(exchange, principal, "sentiment", _of_path(exchange, document))

    async def _answer(
        self, exchange: Exchange, principal: Principal, operation: str, document: dict[str, Any]
    ) -> Response:
        call = exchange.call(self._catalog, operation, document)
        return answer_response(await self._path.answer(call, exchange.key, principal))


def _of_path(exchange: Exchange, document: dict[str, Any]) -> dict[str, Any]:
    """`document` about the coin that the path names. Raises UnknownParameter."""
    if "symbol" in document:
        raise UnknownParameter("the path names the symbol already", "symbol")
    return document | {"symbol": exchange.http.path_params["symbol"]}
