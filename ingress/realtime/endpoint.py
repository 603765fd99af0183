"""The handshake of a conversation: who is calling, which model, and whether there is a place.

    /v1/realtime?model=…   a WebSocket, in the events of OpenAI's Realtime API

Place in the path: steps 1 and 2, once for the connection; every response goes through all of them
again. Credentials come in a header, or, from browsers, which cannot set one, as a subprotocol. A
refusal is the handshake's HTTP answer; browsers are not shown that, so where credentials came as a
subprotocol it is an event, and a close code.
"""

from starlette.datastructures import QueryParams
from starlette.websockets import WebSocket

from auth.identify import AUTHORIZATION, credentials
from auth.principal import Principal, Scope
from core.errors import CarillonError, InvalidKey, UnknownParameter
from ingress.catalog import Catalog, ServedModel
from ingress.endpoint import Guard
from ingress.path import RequestPath
from ingress.realtime.calls import ENDPOINT, Calls, error_object
from ingress.realtime.connection import Connection
from ingress.realtime.outbox import Outbox, new_id
from ingress.realtime.places import Places
from ingress.realtime.session import Session
from ingress.voice import OPERATION
from ingress.websocket import POLICY_VIOLATION, SocketEndpoint

PROTOCOL = "realtime"
KEY_PROTOCOL = "openai-insecure-api-key."
CLOSE_CODES = {401: 3000, 403: 3003, 429: 1013, 503: 1013}
"""Of refusals: the WebSocket registry's unauthorized, forbidden, and try again later."""


class RealtimeEndpoints:
    """Handlers over the request path."""

    def __init__(self, path: RequestPath, catalog: Catalog, places: Places, guard: Guard) -> None:
        self._path = path
        self._catalog = catalog
        self._places = places
        self._guard = guard

    def sockets(self) -> list[SocketEndpoint]:
        return [SocketEndpoint(ENDPOINT, self.converse, "Conversations in Realtime events")]

    async def converse(self, socket: WebSocket) -> None:
        """Serve one connection to its end. Raises CarillonError when it is refused."""
        offered = socket.scope.get("subprotocols", [])
        chosen = PROTOCOL if PROTOCOL in offered else None
        by_protocol = next((name for name in offered if name.startswith(KEY_PROTOCOL)), None)
        try:
            key = _key(socket, by_protocol)
            principal = await self._identified(socket, key)
            assert key is not None
            model, name = self._model(socket.query_params, principal)
            with self._places.take(principal):
                await socket.accept(chosen)
                calls = Calls(self._path, self._catalog, key, new_id("sess"))
                session = Session(model=name or model.card.id)
                await Connection(socket, calls, session, self._places.settings).run()
        except CarillonError as error:
            if by_protocol is not None and socket.application_state.name == "CONNECTING":
                await _tell(socket, chosen, error)
            raise

    async def _identified(self, socket: WebSocket, key: str | None) -> Principal:
        if self._guard.watches:
            self._guard.check(socket, key)
        try:
            return await self._path.authorize(key, Scope.INFERENCE)
        except InvalidKey:
            self._guard.saw(socket, key or "")
            raise

    def _model(self, query: QueryParams, principal: Principal) -> tuple[ServedModel, str | None]:
        """The model, and what the client calls it."""
        for name in query:
            if name != "model":
                raise UnknownParameter(f"'{name[:100]}' is not supported here", name[:100])
        asked = query.get("model")
        model = self._catalog.find(asked, OPERATION)
        model.operation(OPERATION)
        principal.require_model(model.card.id)
        return model, asked


def _key(socket: WebSocket, by_protocol: str | None) -> str | None:
    """The credentials, wherever they are; two that differ are refused."""
    headers = list(socket.headers.raw)
    if by_protocol is not None:
        bearer = f"Bearer {by_protocol.removeprefix(KEY_PROTOCOL)}".encode()
        headers.append((AUTHORIZATION, bearer))
    return credentials(headers)


async def _tell(socket: WebSocket, protocol: str | None, error: CarillonError) -> None:
    """Tell a browser, which sees no more of a refused handshake than that there was one."""
    await socket.accept(protocol)
    outbox = Outbox(socket.send_text)
    outbox.put("error", error=error_object(error))
    await outbox.flush()
    await socket.close(CLOSE_CODES.get(error.status_code, POLICY_VIOLATION), error.code)
