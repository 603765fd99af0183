"""The ASGI application: one table of endpoints, one router, one OpenAPI document.

Place in the path: between Serve's HTTP server and the endpoints. Paths without parameters are
looked up in a dictionary; the rest go through Starlette's router. WebSockets have a table of their
own: OpenAPI has no words for them.
"""

from collections.abc import Iterable
from dataclasses import replace

from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from core.errors import CarillonError, InvalidRequest, MethodNotAllowed, NotFound, Unavailable
from ingress.endpoint import Endpoint, Report
from ingress.exchange import NO_ROUTE, Exchange
from ingress.openapi import openapi_document
from ingress.rendering import openai_body, render
from ingress.responses import json_response
from ingress.websocket import SocketEndpoint, SocketReport, refuse

START_RETRY_S = 1.0


class Application:
    """Routes a request to its endpoint. The ASGI callable that Serve runs.

    Args:
        report: is told of every request that is not told of as a call.
        socket_report: is told of every WebSocket that is refused, or breaks.
    """

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        version: str,
        sockets: Iterable[SocketEndpoint] = (),
        report: Report | None = None,
        socket_report: SocketReport | None = None,
    ) -> None:
        table = [replace(endpoint, report=report) for endpoint in endpoints]
        self.document = openapi_document(table, version)
        table.append(
            Endpoint(
                "GET", "/openapi.json", self._openapi, "This document", public=True, report=report
            )
        )
        self._report = report
        self.endpoints = table
        known = [replace(socket, report=socket_report) for socket in sockets]
        self._sockets = {socket.path: socket for socket in known}
        self._no_socket = SocketEndpoint(NO_ROUTE, _no_such_socket, "", socket_report)
        self._fixed: dict[tuple[str, str], tuple[Endpoint, Route]] = {}
        self._routes: list[tuple[Endpoint, Route]] = []
        for endpoint in table:
            self._add(endpoint)

    def _add(self, endpoint: Endpoint) -> None:
        route = Route(endpoint.path, endpoint, methods=[endpoint.method])
        self._routes.append((endpoint, route))
        if "{" not in endpoint.path:
            self._fixed[endpoint.method, endpoint.path] = (endpoint, route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            return await self._socket(scope, receive, send)
        if scope["type"] != "http":
            return await _not_http(scope, receive, send)
        found = self._fixed.get((scope["method"], scope["path"]))
        if found is not None:
            scope["route"] = found[1]
            return await found[0](scope, receive, send)
        return await self._routed(scope)(scope, receive, send)

    def _routed(self, scope: Scope) -> ASGIApp:
        """The endpoint of a path with parameters, or the error for a path without one."""
        wrong_method = False
        for endpoint, route in self._routes:
            match, child = route.matches(scope)
            if match is Match.FULL:
                scope.update(child)
                scope["route"] = route
                return endpoint
            wrong_method = wrong_method or match is Match.PARTIAL
        error: CarillonError = NotFound(f"no such path: {scope['path'][:200]}")
        if scope["path"] in self._sockets:
            error = InvalidRequest(f"{scope['path']} is a WebSocket: connect by ws:// or wss://")
        if wrong_method:
            error = MethodNotAllowed(f"{scope['path'][:200]} does not take {scope['method']}")
        return self._refusal(scope, error)

    def _refusal(self, scope: Scope, error: CarillonError) -> Endpoint:
        """Stands where no endpoint is."""

        async def refuse(exchange: Exchange) -> Response:
            raise error

        return Endpoint(scope["method"], "", refuse, "", report=self._report)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._sockets.get(scope["path"], self._no_socket)
        return await endpoint(scope, receive, send)

    async def _openapi(self, exchange: Exchange) -> Response:
        return json_response(self.document)


async def _no_such_socket(socket: WebSocket) -> None:
    raise NotFound(f"no such WebSocket: {socket.url.path[:200]}")


async def starting(scope: Scope, receive: Receive, send: Send) -> None:
    """What answers before the models are known, which must not say that there are none."""
    error = Unavailable("the gateway is starting", None, START_RETRY_S)
    if scope["type"] == "http":
        await render(error, openai_body, {})(scope, receive, send)
    elif scope["type"] == "websocket":
        await refuse(WebSocket(scope, receive, send), error)
    else:
        await _not_http(scope, receive, send)


async def _not_http(scope: Scope, receive: Receive, send: Send) -> None:
    """There is nothing to start or stop with the server."""
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
