"""Endpoints: a path, a handler, and the dialect its errors are told in.

Place in the path: the outermost layer of a route. One table of these is both the router and the
OpenAPI document, so no route exists that the document does not know.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from core.errors import CarillonError, InvalidKey
from ingress.exchange import Exchange
from ingress.media.room import UploadRoom
from ingress.rendering import ErrorBody, openai_body, render
from ingress.responses import with_headers
from ingress.settling import CLIENT_CLOSED

logger = logging.getLogger("ray.serve")

Handler = Callable[[Exchange], Awaitable[Response]]
Report = Callable[[Exchange, int], None]
"""Is told the status of a request. See `ingress.telemetry`."""
FAILURE = 400


class Guard(Protocol):
    """Who watches what keys callers come with. See `ingress.strangers`."""

    @property
    def watches(self) -> bool: ...
    def check(self, connection: HTTPConnection, key: str | None) -> None: ...
    def saw(self, connection: HTTPConnection, key: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path.

    Args:
        request: pydantic type of a JSON body, for the OpenAPI document.
        query: that of the query's parameters; those that the path has too are the path's.
        form: that of a form's fields, where a form is all that is taken.
        files: names of a form's files; without `form`, its other fields are those of `request`.
        public: answers without credentials.
        status: of an answer that is no error.
        guard: refuses who tries one unknown key after another, before a key is looked for.
        room: bounds bodies in memory; see `ingress.uploads`.
        report: is told of requests that the request path has not told of.
        shown_once: the answer holds a secret: it is never kept, not even for a retry.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    request: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    form: type[BaseModel] | None = None
    files: tuple[str, ...] = ()
    public: bool = False
    status: int = 200
    error_body: ErrorBody = openai_body
    max_body_bytes: int = 20 * 2**20
    shown_once: bool = False
    room: UploadRoom | None = None
    guard: Guard | None = None
    report: Report | None = None

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer; every failure is rendered, none shows a traceback."""
        exchange = Exchange(scope, receive, self.max_body_bytes, self.room)
        status = CLIENT_CLOSED  # of a request that is cancelled
        try:
            response = await self._response(exchange)
            await with_headers(response, exchange.headers)(scope, receive, send)
            status = response.status_code
        except Exception:
            status = CarillonError.status_code
            raise
        finally:
            self._tell(exchange, status)

    async def _response(self, exchange: Exchange) -> Response:
        try:
            if self.guard is not None and self.guard.watches:
                self.guard.check(exchange.http, exchange.key)
            return await self.handler(exchange)
        except ClientDisconnect:
            return Response(status_code=CLIENT_CLOSED)  # nobody reads it
        except CarillonError as error:
            if isinstance(error, InvalidKey):
                self._tell_guard(exchange)
            return render(error, self.error_body, {})
        except Exception:
            logger.exception("unhandled error", extra={"carillon_request_id": exchange.request_id})
            return render(CarillonError("internal error"), self.error_body, {})
        finally:
            if not exchange.detached:
                exchange.release()

    def _tell(self, exchange: Exchange, status: int) -> None:
        """Report how it ended, unless its calls say that already, or go on without the caller."""
        goes_on = exchange.detached and status == CLIENT_CLOSED
        failed_otherwise = status >= FAILURE and status not in exchange.told
        if self.report is not None and not goes_on and (failed_otherwise or not exchange.told):
            self.report(exchange, status)

    def _tell_guard(self, exchange: Exchange) -> None:
        """Of a key that was not good; one that cannot be read costs nobody a look."""
        if self.guard is not None:
            with suppress(InvalidKey):
                self.guard.saw(exchange.http, exchange.key or "")
