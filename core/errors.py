"""Every error a caller can meet, in one tree.

Place in the path: raised anywhere, rendered once per dialect in `ingress/`. This module does
not know HTTP dialects; it only carries a status, a stable `code` and safe text.

    CarillonError                     500 internal_error
    ├── InvalidRequest                400 invalid_request
    │   ├── MalformedBody             400 malformed_body
    │   ├── UnknownParameter          400 unknown_parameter
    │   └── ContextOverflow           400 context_length_exceeded
    ├── Unauthenticated               401 missing_api_key
    │   ├── InvalidKey                401 invalid_api_key
    │   ├── ExpiredKey                401 expired_api_key
    │   └── InvalidCredentials        401 invalid_credentials
    ├── Forbidden                     403 permission_denied
    │   ├── ModelForbidden            403 model_not_allowed
    │   └── StorageFull               403 storage_quota_exceeded
    ├── NotFound                      404 not_found
    │   └── ModelNotFound             404 model_not_found
    ├── MethodNotAllowed              405 method_not_allowed
    ├── Conflict                      409 conflict
    │   └── AlreadyCharged            409 already_charged
    ├── BodyTooLarge                  413 body_too_large
    ├── UnsupportedMediaType          415 unsupported_media_type
    ├── RangeNotSatisfiable           416 range_not_satisfiable
    ├── LimitReached                  429 rate_limit_exceeded
    │   ├── BudgetSpent               429 insufficient_quota
    │   └── QueueFull                 429 queue_full
    ├── NotDelivered                  502 not_delivered
    ├── Unavailable                   503 unavailable
    │   ├── StoreUnavailable          503 store_unavailable
    │   ├── DataSourceUnavailable     503 data_source_unavailable
    │   └── ModelUnavailable          503 model_unavailable
    │       └── ModelLoading          503 model_loading
    ├── DeadlineExceeded              504 deadline_exceeded
    └── SettingsError                 500 invalid_settings

Errors cross replicas by pickle, so every argument goes to `Exception.__init__`.
"""

from typing import Any, ClassVar


class CarillonError(Exception):
    """Root of the tree.

    Args:
        message: text for the caller; never contains a secret.
        param: the request field at fault, if one is.
        retry_after_s: seconds until a retry can succeed, if known.
    """

    status_code: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(
        self, message: str, param: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, param, retry_after_s)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.trace: dict[str, Any] | None = None
        """What a refusal was decided on, as JSON for the caller. See `ingress.trace`."""

    def __str__(self) -> str:
        return self.message


class InvalidRequest(CarillonError):
    """The request can never succeed as it stands."""

    status_code = 400
    code = "invalid_request"


class MalformedBody(InvalidRequest):
    """The body is not what its content type says."""

    code = "malformed_body"


class UnknownParameter(InvalidRequest):
    """A field this endpoint does not take."""

    code = "unknown_parameter"


class ContextOverflow(InvalidRequest):
    """Prompt and requested output do not fit the model's context window."""

    code = "context_length_exceeded"


class Unauthenticated(CarillonError):
    """No credentials where some are needed."""

    status_code = 401
    code = "missing_api_key"


class InvalidKey(Unauthenticated):
    """Credentials that name nobody: unknown, malformed or revoked."""

    code = "invalid_api_key"


class ExpiredKey(Unauthenticated):
    """A key whose expiry has passed."""

    code = "expired_api_key"


class InvalidCredentials(Unauthenticated):
    """A login or a refresh that is refused; it does not say what of it was wrong."""

    code = "invalid_credentials"


class Forbidden(CarillonError):
    """A known principal without the scope the operation needs."""

    status_code = 403
    code = "permission_denied"


class ModelForbidden(Forbidden):
    """A known principal whose key does not allow this model."""

    code = "model_not_allowed"


class StorageFull(Forbidden):
    """The tenant's plan has no room for more media, or documents; deleting some makes room."""

    code = "storage_quota_exceeded"


class NotFound(CarillonError):
    """Nothing of that name that this principal can see."""

    status_code = 404
    code = "not_found"


class ModelNotFound(NotFound):
    """No such model here."""

    code = "model_not_found"


class MethodNotAllowed(CarillonError):
    """The path exists, the method does not."""

    status_code = 405
    code = "method_not_allowed"


class Conflict(CarillonError):
    """The request contradicts the present state."""

    status_code = 409
    code = "conflict"


class AlreadyCharged(Conflict):
    """Done and charged before under the same name, and the answer is gone: it was too long."""

    code = "already_charged"


class BodyTooLarge(CarillonError):
    """The body is over the limit, or what goes to a model, or comes from it, over a message's."""

    status_code = 413
    code = "body_too_large"


class UnsupportedMediaType(CarillonError):
    """A content type this endpoint does not take."""

    status_code = 415
    code = "unsupported_media_type"


class RangeNotSatisfiable(CarillonError):
    """A byte range that begins behind the end."""

    status_code = 416
    code = "range_not_satisfiable"


class LimitReached(CarillonError):
    """A rate window is full; it opens again after `retry_after_s`."""

    status_code = 429
    code = "rate_limit_exceeded"


class BudgetSpent(LimitReached):
    """A long window (a day or more) is used up: retrying soon is pointless."""

    code = "insufficient_quota"


class QueueFull(LimitReached):
    """The model's queue is full; nothing was charged."""

    code = "queue_full"


class NotDelivered(CarillonError):
    """A webhook's receiver is away, or did not take it. It is tried again later."""

    status_code = 502
    code = "not_delivered"


class Unavailable(CarillonError):
    """A part of the system is down; nothing was charged."""

    status_code = 503
    code = "unavailable"


class StoreUnavailable(Unavailable):
    """PostgreSQL or Valkey does not answer."""

    code = "store_unavailable"


class DataSourceUnavailable(Unavailable):
    """No configured source of outside data (market prices) gave an answer that can be used."""

    code = "data_source_unavailable"


class ModelUnavailable(Unavailable):
    """The model's application has no running replica (starting, failed or scaled to zero)."""

    code = "model_unavailable"


class ModelLoading(ModelUnavailable):
    """The model slept and is waking up.

    Args:
        progress: 0 to 1, of the time that it took lately.
        retry_after_s: when it should be there.
    """

    code = "model_loading"

    def __init__(
        self,
        message: str,
        param: str | None = None,
        retry_after_s: float | None = None,
        progress: float = 0.0,
    ) -> None:
        super().__init__(message, param, retry_after_s)
        self.args = (message, param, retry_after_s, progress)
        self.progress = progress


class DeadlineExceeded(CarillonError):
    """The model did not answer in time; what it produced was settled."""

    status_code = 504
    code = "deadline_exceeded"


class SettingsError(CarillonError):
    """A configuration that cannot be used; the message names file and field."""

    code = "invalid_settings"
