"""What a model raised, as the error that a caller may read.

Place in the path: step 4, wherever a deployment handle is awaited: the gateway's dispatch, and the
steps of a graph. It knows no call; what is retried, or logged with a request, is their business.
"""

import logging

from grpc import StatusCode
from grpc.aio import AioRpcError
from ray.exceptions import RayTaskError
from ray.serve.exceptions import BackPressureError

from core.errors import BodyTooLarge, CarillonError, QueueFull
from graphs.failures import call_of

QUEUE_RETRY_S = 1.0
START_RETRY_S = 5.0
PLAIN = {"request_serialization": "pickle", "response_serialization": "pickle"}
"""What travels is data of importable types; Serve's default also packs code, at twice the cost."""

logger = logging.getLogger("ray.serve")


def own(error: CarillonError) -> CarillonError:
    """A model's error, without the remote traceback that Ray appends to its text.

    Ray makes the exception that crosses replicas a subclass of the original one; the arguments
    are the original's.
    """
    for kind in type(error).__mro__:
        if kind.__module__ == CarillonError.__module__:
            clean: CarillonError = kind(*error.args[:3]) if error.args else kind("model error")
            return clean
    return error


def cause_of(error: RayTaskError, model: str) -> CarillonError:
    """What ended a call of `model` in its replica; faults that are not ours to tell are logged."""
    cause = error.cause
    if isinstance(cause, CarillonError):
        return own(cause)
    if isinstance(cause, BackPressureError):
        return full(model)
    return failed(cause, model)


def failed(fault: Exception, model: str) -> CarillonError:
    """A fault that is not ours to tell, logged. Serve passes it on in its own type, or in Ray's.

    Its replica logged where it happened, and its text may quote what the caller sent; a fault that
    no replica named happened here.
    """
    call = call_of(fault)
    logger.error(
        "the model %s failed: %s",
        model,
        type(fault).__name__,
        extra=call,
        exc_info=None if call else fault,
    )
    return CarillonError(f"the model '{model}' failed")


def too_large(error: Exception, model: str) -> BodyTooLarge | None:
    """A call that does not fit one message between replicas, there or back; None for other faults.

    Serve passes these on as they are: it has no exception of its own for them.
    """
    if not isinstance(error, AioRpcError) or error.code() is not StatusCode.RESOURCE_EXHAUSTED:
        return None
    return BodyTooLarge(
        f"the request to '{model}', or its answer, is larger than a message may be: ask for less"
        " at once"
    )


def full(model: str) -> QueueFull:
    """The model has no room for one more call."""
    return QueueFull(f"the queue of '{model}' is full", None, QUEUE_RETRY_S)
