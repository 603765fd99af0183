"""Receipts over HTTP.

Place in the path: beside it; these requests are authenticated and cost no units. A tenant gets
receipts of its own requests; of another's it does not even learn that they exist.
"""

from starlette.responses import Response

from auth.principal import Scope
from auth.receipts import RUNNING, ReceiptSigner, receipt_of
from auth.usage import Usage
from core.errors import NotFound
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.path import RequestPath
from ingress.responses import json_response

LONGEST_NAME = 128
ANSWER_PREFIXES = ("chatcmpl-", "cmpl-")
"""An answer's own id is one of these and the ledger's id."""


class Receipts:
    """Handlers over the ledger's rows."""

    def __init__(self, path: RequestPath, usage: Usage, signer: ReceiptSigner) -> None:
        self._path = path
        self._usage = usage
        self._signer = signer

    def endpoints(self) -> list[Endpoint]:
        show = "/v1/receipts/{request_id}"
        return [
            Endpoint(
                "GET",
                "/v1/receipts/keys",
                self.keys,
                "Key that receipts are verified with",
                public=True,
            ),
            Endpoint("GET", show, self.show, "What a request cost, signed"),
        ]

    async def keys(self, exchange: Exchange) -> Response:
        """A JWK set (RFC 7517). Public keys are for everybody."""
        del exchange
        return json_response({"keys": [self._signer.jwk]})

    async def show(self, exchange: Exchange) -> Response:
        """By the id in an answer, by the ledger's, or by `x-request-id` (the newest such)."""
        principal = await self._path.authorize(exchange.key, Scope.USAGE)
        name = exchange.http.path_params["request_id"]
        for prefix in ANSWER_PREFIXES:
            name = name.removeprefix(prefix)
        known = len(name) <= LONGEST_NAME and name.isprintable()
        row = await self._usage.record(principal.tenant_id, name) if known else None
        if row is None:
            raise NotFound("there is no such request; one that has just ended takes a moment")
        receipt = receipt_of(row)
        if row["status"] == RUNNING:
            return json_response(receipt | {"signature": None})
        return json_response(receipt | {"signature": self._signer.signed(receipt)})
