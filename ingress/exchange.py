"""An exchange: one HTTP request, read with limits, and what its response will carry.

Place in the path: step 1 (parse). It turns bytes into validated types and a `Call`; it does not
authenticate (`auth.identify` does) and does not answer.
"""

import random
import time
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request
from starlette.types import Receive, Scope

from auth.identify import credentials
from core.errors import (
    BodyTooLarge,
    InvalidRequest,
    MalformedBody,
    UnknownParameter,
    UnsupportedMediaType,
)
from core.model import Operation
from ingress.call import CachePolicy, Call
from ingress.catalog import Catalog, ServedModel
from ingress.media.room import UploadRoom

M = TypeVar("M", bound=BaseModel)
TRACE_ID_LENGTH = 128
ID_BITS = 128
STEP_BYTES = 2**20
"""Room is taken in steps for a body whose length nobody said."""
_RANDOM = random.Random()  # noqa: S311 - an id is no secret, and asking the kernel costs five times
JSON_TYPES = ("", "application/json")
NO_ROUTE = "none"


class Exchange:
    """One request being answered."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        max_body_bytes: int,
        room: UploadRoom | None = None,
    ) -> None:
        self.http = Request(scope, receive)
        self.started = time.perf_counter()
        self.request_id = f"{_RANDOM.getrandbits(ID_BITS):032x}"
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        self.trace_id = (self.header(b"x-request-id") or self.request_id)[:TRACE_ID_LENGTH]
        self.headers: dict[str, str] = {}
        self.told: list[int] = []
        """Statuses of its calls that telemetry knows of."""
        self._max_body_bytes = max_body_bytes
        self._body: bytes | None = None
        self._room = room
        self._holder: str | None = None
        self._held = 0
        self.detached = False
        """Whether it is worked on apart from its request, which does not end with it."""
        self.once: str | None = None
        """Under an `Idempotency-Key`: names what is done, once, however often it is asked for."""
        self.calls: list[str] = []
        """Names of the calls that were made so far, where there is a `once`."""

    @property
    def key(self) -> str | None:
        """The caller's credentials, whatever header they came in. Raises InvalidKey."""
        return credentials(self.http.headers.raw)

    def header(self, name: bytes) -> str | None:
        """A request header by its name in lower case. Starlette's mapping looks through all."""
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def declared_bytes(self) -> int | None:
        """How long the body is, as its sender says; None when it does not say."""
        declared = self.header(b"content-length") or ""
        return int(declared) if declared.isascii() and declared.isdigit() else None

    @property
    def endpoint(self) -> str:
        """The route's template, for metrics and the ledger (never a caller's own text)."""
        route = self.http.scope.get("route")
        return NO_ROUTE if route is None else str(route.path)

    def elapsed_ms(self) -> int:
        return int((time.perf_counter() - self.started) * 1000)

    def reserve(self, tenant_id: str) -> None:
        """Take room in memory for the body, before it is read, where the endpoint bounds that.

        For a body whose length nobody said it is taken step by step, before each step is read.
        Twice is once. Raises LimitReached when there is none.
        """
        if self._holder is None:
            self._holder = tenant_id
            self._cover(self.declared_bytes or 1)

    def _cover(self, size: int) -> None:
        """Hold room for a body of `size` bytes. Raises LimitReached when there is none."""
        if self._room is None or self._holder is None or size <= self._held:
            return
        steps = size if self.declared_bytes is not None else -(-size // STEP_BYTES) * STEP_BYTES
        more = min(steps, self._max_body_bytes) - self._held
        self._room.take(self._holder, more)
        self._held += more

    def release(self) -> None:
        """Give back what `reserve` took."""
        if self._room is not None and self._holder is not None:
            held, self._held = self._held, 0
            self._room.give(self._holder, held)

    async def body(self) -> bytes:
        """The whole body, read once. Raises BodyTooLarge before reading past the limit."""
        if self._body is None:
            self._body = await self._read()
        return self._body

    def forget_body(self) -> None:
        """Free the bytes, once they are read for good."""
        self._body = None

    async def _read(self) -> bytes:
        if (self.declared_bytes or 0) > self._max_body_bytes:
            raise self._too_large()
        pieces: list[bytes] = []
        size = 0
        async for piece in self.http.stream():
            size += len(piece)
            if size > self._max_body_bytes:
                raise self._too_large()
            self._cover(size)
            pieces.append(piece)
        return b"".join(pieces)

    async def document(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            UnsupportedMediaType, MalformedBody, BodyTooLarge
        """
        kind = (self.header(b"content-type") or "").partition(";")[0].strip().lower()
        if kind not in JSON_TYPES and not kind.endswith("+json"):
            raise UnsupportedMediaType(f"send application/json, not {kind[:100]!r}")
        try:
            document = orjson.loads(await self.body() or b"{}")
        except orjson.JSONDecodeError as error:
            raise MalformedBody(f"the body is not valid JSON: {error}") from error
        if not isinstance(document, dict):
            raise MalformedBody("the body must be a JSON object")
        return document

    async def parse(self, model: type[M]) -> M:
        """The body as `model`. Raises InvalidRequest or UnknownParameter naming the field."""
        return validate(model, await self.document())

    def query(self, model: type[M]) -> M:
        """What `model` says of the query's parameters. Raises InvalidRequest naming one."""
        return validate(model, dict(self.http.query_params))

    def call(
        self,
        catalog: Catalog,
        operation_name: str,
        document: dict[str, Any],
        model: ServedModel | None = None,
        *,
        tenant: str | None = None,
    ) -> Call:
        """The call that `document` asks for, of `model` if the path named it already.

        Args:
            tenant: the caller's, for operations on what tenants keep (`Operation.tenant_field`).

        Raises:
            ModelNotFound, InvalidRequest, UnknownParameter
        """
        return call_of(
            catalog,
            operation_name,
            document,
            model,
            tenant=tenant,
            request_id=self.request_id,
            trace_id=self.trace_id,
            endpoint=self.endpoint,
            cache=CachePolicy.from_header(self.header(b"cache-control")),
            started=self.started,
            headers=self.headers,
            told=self.told,
            once=self.next_once(),
            whole_or_nothing=self.detached,
        )

    def next_once(self) -> str | None:
        """Under an `Idempotency-Key`: the name of the next call or job, the same when the same
        request makes it again.
        """
        if self.once is None:
            return None
        self.calls.append(f"{self.once}:{len(self.calls)}")
        return self.calls[-1]

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"the body is over the limit of {self._max_body_bytes} bytes")


def call_of(
    catalog: Catalog,
    operation_name: str,
    document: dict[str, Any],
    model: ServedModel | None = None,
    *,
    tenant: str | None = None,
    **facts: Any,
) -> Call:
    """The call that `document` asks for; `facts` are the other fields of `Call`.

    Args:
        tenant: whose call it is, once that is known: operations on what tenants keep need it.

    Raises:
        ModelNotFound, InvalidRequest, UnknownParameter
    """
    if model is None:
        name = document.get("model")
        if name is not None and not isinstance(name, str):
            raise InvalidRequest("'model' must be a string", "model")
        model = catalog.find(name, operation_name)
    operation = model.operation(operation_name)
    request = validate(operation.request, _of_tenant(operation, document, tenant))
    return Call(
        model=model,
        operation_name=operation_name,
        operation=operation,
        request=request,
        streamed=bool(getattr(request, "stream", False)),
        **facts,
    )


def _of_tenant(
    operation: Operation, document: dict[str, Any], tenant: str | None
) -> dict[str, Any]:
    """The document with the caller's tenant, where the operation asks whose data it is about."""
    field = operation.tenant_field
    if field is None:
        return document
    if field in document:
        raise UnknownParameter(f"Unrecognized request argument supplied: {field}", field)
    if tenant is None:
        raise InvalidRequest("this operation is on a tenant's own data: use its own path", "model")
    return document | {field: tenant}


def validate(model: type[M], document: Any, under: str = "") -> M:
    """`document` as `model`, its first fault as our error; its place begins with `under`."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise fault_of(first, *filter(None, (under,))) from error


def fault_of(first: ErrorDetails, *inside: str | int) -> InvalidRequest:
    """A fault that pydantic found as our error; `inside` is where the document stands."""
    param = ".".join(str(part) for part in (*inside, *first["loc"]))[:200] or None
    if first["type"] == "extra_forbidden":
        return UnknownParameter(f"Unrecognized request argument supplied: {param}", param)
    message = first["msg"].removeprefix("Value error, ")
    return InvalidRequest(f"Invalid value for '{param}': {message}" if param else message, param)
