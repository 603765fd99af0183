"""VLLM's errors as Carillon's: raised ones, returned ones, and those inside a stream.

Place in the path: step 4, used by `deployments.llm`. It decides what a caller is told; it neither
retries nor restarts anything. What it does not know stays what it is: a bug.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from core.errors import (
    CarillonError,
    ContextOverflow,
    InvalidRequest,
    ModelUnavailable,
    NotFound,
    QueueFull,
)

FAILED_EVENT = 'data: {"error"'
"""How the event begins in which vLLM tells of a failure; it goes on as if the stream had ended
well."""
NOT_FOUND = 404
TOO_BUSY = 503


@contextmanager
def translated() -> Iterator[None]:
    """Turn vLLM's errors into ours; a bug stays a bug."""
    try:
        yield
    except CarillonError:
        raise
    except Exception as error:
        if (ours := _translate(error)) is not None:
            raise ours from error
        raise


def raise_if_error(result: Any) -> None:
    """VLLM returns some errors instead of raising them."""
    error = getattr(result, "error", None)
    if error is not None and isinstance(result, BaseModel):
        raise _told(error.message, error.param, error.code)


def raise_if_failed(event: str, failure: Exception | None) -> None:
    """VLLM sends what is raised in a stream as one more event: raise it again.

    Args:
        event: one server-sent event of vLLM's.
        failure: what the engine raised, if it did. Its type says more than the event.
    """
    if not event.startswith(FAILED_EVENT):
        return
    if failure is not None:
        raise failure
    error = orjson.loads(event[len("data: ") :])["error"]
    raise _told(error["message"], error.get("param"), error["code"])


def invalid(message: str, param: str | None) -> InvalidRequest:
    """What vLLM says of a request that it refuses."""
    too_long = "context length" in message or "maximum model length" in message
    return (ContextOverflow if too_long else InvalidRequest)(message, param)


def _translate(error: Exception) -> CarillonError | None:
    from vllm.exceptions import (
        GracefulHTTPError,
        RetryableRequestError,
        VLLMClientError,
        VLLMNotFoundError,
    )
    from vllm.v1.engine.exceptions import EngineDeadError

    message = str(error.args[0]) if error.args else type(error).__name__
    if isinstance(error, VLLMNotFoundError):
        return NotFound(message)
    if isinstance(error, EngineDeadError):
        return ModelUnavailable("the model's engine stopped; it is being restarted", None, 10.0)
    if isinstance(error, RetryableRequestError):
        return ModelUnavailable(message, None, 1.0)
    if isinstance(error, GracefulHTTPError):
        return QueueFull(message, None, 1.0)
    if isinstance(error, (VLLMClientError, ValidationError, ValueError, TypeError)):
        return invalid(message, getattr(error, "parameter", None))
    return None


def _told(message: str, param: str | None, status: int) -> CarillonError:
    """What an error response of vLLM's says."""
    if status == NOT_FOUND:
        return NotFound(message)
    if status == TOO_BUSY:
        return ModelUnavailable(message, None, 1.0)
    if status >= 500:  # noqa: PLR2004
        return CarillonError(message)
    return invalid(message, param)
