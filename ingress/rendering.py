"""Errors on the wire, once per dialect.

Place in the path: wherever a step raised, this is the last stop before the socket. Every error
carries `x-request-id` (Serve adds it) and, when a retry can help, an exact `retry-after`.
"""

import math
from collections.abc import Callable
from typing import Any

import orjson
from starlette.responses import Response

from core.errors import BudgetSpent, CarillonError, ModelLoading, Unauthenticated

MS_PER_S = 1000
REFUSALS = frozenset({401, 402, 403, 429, 503})
"""Statuses that say more than a message: on what they were decided."""

OPENAI_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    429: "rate_limit_error",
}

ErrorBody = Callable[[CarillonError], dict[str, Any]]


def openai_body(error: CarillonError) -> dict[str, Any]:
    """OpenAI's error object: four keys, always; `param` and `code` a string or null.

    In it, for a refusal, `carillon`: what it was decided on. SDKs ignore the name and show it in
    their exception's `body`. Beside it, while a model wakes, how far it is.
    """
    fallback = "invalid_request_error" if error.status_code < 500 else "server_error"  # noqa: PLR2004
    kind = OPENAI_TYPES.get(error.status_code, fallback)
    if isinstance(error, BudgetSpent):
        kind = "insufficient_quota"
    body: dict[str, Any] = {
        "error": {
            "message": error.message,
            "type": kind,
            "param": error.param,
            "code": error.code,
        }
    }
    if error.status_code in REFUSALS:
        body["error"]["carillon"] = error.trace or {"step": _step(error)}
    if isinstance(error, ModelLoading):
        eta_s = round(error.retry_after_s or 0.0, 1)
        body["loading"] = {"progress": error.progress, "eta_seconds": eta_s}
    return body


def _step(error: CarillonError) -> str:
    """Of an error that no step has traced: who is calling is not known, or a route's own rule."""
    return "identify" if isinstance(error, Unauthenticated) else "answer"


def error_headers(error: CarillonError) -> dict[str, str]:
    """When to retry. A spent budget says not to, whatever the client's own policy is."""
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after_s))
        headers["retry-after-ms"] = str(math.ceil(error.retry_after_s * MS_PER_S))
    if isinstance(error, BudgetSpent):
        headers["x-should-retry"] = "false"
    if error.status_code == 401:  # noqa: PLR2004
        headers["www-authenticate"] = "Bearer"
    return headers


def render(error: CarillonError, body: ErrorBody, headers: dict[str, str]) -> Response:
    """The whole error response, in the caller's dialect."""
    return Response(
        orjson.dumps(body(error)),
        status_code=error.status_code,
        headers=headers | error_headers(error),
        media_type="application/json",
    )


def error_event(error: CarillonError, body: ErrorBody) -> bytes:
    """The error as the last event of a stream whose status line is long gone."""
    return b"data: " + orjson.dumps(body(error)) + b"\n\n"
