"""WebSocket endpoints: a path, a handler, and how a handshake is refused.

Place in the path: beside `ingress.endpoint`, for connections that stay. What a handler does with a
connection is its own; every call that it makes goes through the request path like any other.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from core.errors import CarillonError
from ingress.rendering import openai_body, render

logger = logging.getLogger("ray.serve")

POLICY_VIOLATION = 1008
DENIAL = "websocket.http.response"
"""The ASGI extension for answering a handshake as HTTP; uvicorn has it."""
SocketReport = Callable[[WebSocket, str, int], None]
"""Is told the path and status of a connection that was refused, or broke. See `ingress.telemetry`.
"""


@dataclass(frozen=True, slots=True)
class SocketEndpoint:
    """One path that is a WebSocket.

    Args:
        handler: accepts the connection and serves it to its end; a CarillonError that it raises
            before it accepts is the handshake's HTTP answer.
        report: is told of what was refused, and of what broke.
    """

    path: str
    handler: Callable[[WebSocket], Awaitable[None]]
    summary: str
    report: SocketReport | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve; every failure is rendered, none shows a traceback."""
        socket = WebSocket(scope, receive, send)
        try:
            await self.handler(socket)
        except WebSocketDisconnect:
            return
        except CarillonError as error:
            await self._refuse(socket, error)
        except Exception:
            given = {"carillon_request_id": socket.headers.get("x-request-id", "")}
            logger.exception("unhandled error on a WebSocket", extra=given)
            await self._refuse(socket, CarillonError("internal error"))

    async def _refuse(self, socket: WebSocket, error: CarillonError) -> None:
        if self.report is not None:
            self.report(socket, self.path, error.status_code)
        await refuse(socket, error)


async def refuse(socket: WebSocket, error: CarillonError) -> None:
    """Answer the handshake with `error` as HTTP; close a connection that is still open."""
    state = socket.application_state
    if state is WebSocketState.CONNECTING and DENIAL in socket.scope.get("extensions", {}):
        await socket.send_denial_response(render(error, openai_body, {}))
    elif state in (WebSocketState.CONNECTING, WebSocketState.CONNECTED):
        await socket.close(POLICY_VIOLATION, error.code)
