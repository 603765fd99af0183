"""The ASGI application: one table of endpoints, one router, one OpenAPI document.

Place in the path: between Serve's HTTP server and the endpoints. Paths without parameters are
looked up in a dictionary; the rest go through Starlette's router.
"""

from collections.abc import Iterable

from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from core.errors import CarillonError, MethodNotAllowed, NotFound
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.openapi import openapi_document
from ingress.rendering import openai_body, render
from ingress.responses import json_response


class Application:
    """Routes a request to its endpoint. The ASGI callable that Serve runs."""

    def __init__(self, endpoints: Iterable[Endpoint], version: str) -> None:
        table = list(endpoints)
        self.document = openapi_document(table, version)
        table.append(Endpoint("GET", "/openapi.json", self._openapi, "This document", public=True))
        self.endpoints = table
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
        if wrong_method:
            error = MethodNotAllowed(f"{scope['path'][:200]} does not take {scope['method']}")
        return render(error, openai_body, {})

    async def _openapi(self, exchange: Exchange) -> Response:
        return json_response(self.document)


async def _not_http(scope: Scope, receive: Receive, send: Send) -> None:
    """There is nothing to start or stop with the server, and no WebSocket route."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
