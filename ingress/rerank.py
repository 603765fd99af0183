"""Rerank: which of some documents answer a query best.

Place in the path: step 1 for `/v1/rerank`, in the dialect of `core.rerank`. Answers are the model's
own bytes. It holds no logic beyond naming the operation.
"""

from starlette.responses import Response

from auth.principal import Scope
from core.rerank import RerankRequest
from ingress.catalog import Catalog
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.path import RequestPath
from ingress.responses import answer_response

OPERATION = "rerank"


class RerankEndpoints:
    """Handlers over the request path."""

    def __init__(self, path: RequestPath, catalog: Catalog) -> None:
        self._path = path
        self._catalog = catalog

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("POST", "/v1/rerank", self.rerank, "Documents by relevance", RerankRequest)
        ]

    async def rerank(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        call = exchange.call(self._catalog, OPERATION, await exchange.document())
        return answer_response(await self._path.answer(call, exchange.key, principal))
