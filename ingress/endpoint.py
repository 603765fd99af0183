"""Endpoints: a path, a handler, and the dialect its errors are told in.

Place in the path: the outermost layer of a route. One table of these is both the router and the
OpenAPI document, so no route exists that the document does not know.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from core.errors import CarillonError
from ingress.exchange import Exchange
from ingress.rendering import ErrorBody, openai_body, render
from ingress.responses import with_headers

logger = logging.getLogger("ray.serve")

Handler = Callable[[Exchange], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path.

    Args:
        request: pydantic type of a JSON body, for the OpenAPI document.
        public: answers without credentials.
        status: of an answer that is no error.
        shown_once: the answer holds a secret: it is never kept, not even for a retry.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    request: type[BaseModel] | None = None
    public: bool = False
    status: int = 200
    error_body: ErrorBody = openai_body
    max_body_bytes: int = 20 * 2**20
    shown_once: bool = False

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer; every failure is rendered, none shows a traceback."""
        exchange = Exchange(scope, receive, self.max_body_bytes)
        try:
            response = await self.handler(exchange)
        except CarillonError as error:
            response = render(error, self.error_body, {})
        except Exception:
            logger.exception("unhandled error", extra={"carillon_request_id": exchange.request_id})
            response = render(CarillonError("internal error"), self.error_body, {})
        await with_headers(response, exchange.headers)(scope, receive, send)
