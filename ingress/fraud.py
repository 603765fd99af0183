"""Fraud detection over HTTP: analyses, drift, and the older system's path.

Place in the path: step 1. Requests are the detector's own type and answers its own bytes; the alias
renames fields and nothing more.

    POST /v1/fraud/analyses   rows of payments, network flows or trades
    GET  /v1/fraud/drift      how the rows of late differ from those of training
    POST /analyze             one row as {"type": ..., "data": {...}}
"""

from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from auth.principal import Scope
from core.errors import InvalidRequest, UnknownParameter
from core.fraud import DriftRequest, FraudRequest
from core.fraud_features import Kind
from ingress.catalog import Catalog
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.path import Answer, RequestPath
from ingress.responses import answer_response, json_response

FINE = ("approve", "allow", "clear")
"""The decisions that let a row pass."""


class AnalyzeRequest(BaseModel):
    """POST /analyze."""

    model_config = ConfigDict(extra="forbid")

    type: Kind
    data: dict[str, Any]
    model: str | None = None

    def as_analysis(self) -> dict[str, Any]:
        """The same request in our own words."""
        return {"model": self.model, "kind": self.type, "features": self.data}


class FraudEndpoints:
    """Handlers over the request path."""

    def __init__(self, path: RequestPath, catalog: Catalog) -> None:
        self._path = path
        self._catalog = catalog

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("POST", "/v1/fraud/analyses", self.analyse, "Fraud analysis", FraudRequest),
            Endpoint(
                "GET",
                "/v1/fraud/drift",
                self.drift,
                "Drift of rows (?kind=, ?model=)",
                query=DriftRequest,
            ),
            Endpoint("POST", "/analyze", self.analyze, "Alias of fraud analysis", AnalyzeRequest),
        ]

    async def analyse(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        call = exchange.call(self._catalog, "analyse", await exchange.document())
        return answer_response(await self._path.answer(call, exchange.key, principal))

    async def drift(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        call = exchange.call(self._catalog, "drift", dict(exchange.http.query_params))
        return answer_response(await self._path.answer(call, exchange.key, principal))

    async def analyze(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        request = await exchange.parse(AnalyzeRequest)
        try:
            call = exchange.call(self._catalog, "analyse", request.as_analysis())
        except InvalidRequest as error:
            raise _renamed(error) from error
        return _older_answer(request, await self._path.answer(call, exchange.key, principal))


def _older_answer(request: AnalyzeRequest, answer: Answer) -> Response:
    analysis = orjson.loads(answer.body)
    result = analysis["results"][0]
    return json_response(
        {
            "type": request.type,
            "is_fraud": result["decision"] not in FINE,
            "fraud_score": result["score"],
            "decision": result["decision"],
            "reasons": [reason["text"] for reason in result["reasons"]],
            "model": analysis["model"],
        }
    )


def _renamed(error: InvalidRequest) -> InvalidRequest:
    """The error in the words of the alias."""
    if error.param is None or not error.param.startswith("features"):
        return error
    param = error.param.replace("features", "data", 1)
    kind = UnknownParameter if isinstance(error, UnknownParameter) else InvalidRequest
    return kind(error.message.replace(error.param, param, 1), param)
