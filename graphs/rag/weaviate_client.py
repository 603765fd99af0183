"""Weaviate's official client: how it is opened, and what its failures mean.

Place in the path: under the Weaviate store, which says what to ask. The client speaks REST about
classes and gRPC about passages. What Weaviate answered to a refused call is logged and goes no
further: it may quote what was asked, and that may be a passage.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
from grpc import StatusCode
from grpc.aio import AioRpcError
from weaviate import WeaviateAsyncClient, use_async_with_custom
from weaviate.classes.init import AdditionalConfig, Timeout
from weaviate.exceptions import (
    WeaviateBaseError,
    WeaviateConnectionError,
    WeaviateGRPCUnavailableError,
    WeaviateTimeoutError,
)

from core.errors import CarillonError, StoreUnavailable
from graphs.rag.store_settings import WeaviateStore

logger = logging.getLogger("ray.serve")
# It logs every object that Weaviate refused, text and all: the store says what there is to say.
logging.getLogger("weaviate-client").setLevel(logging.CRITICAL)

GRPC_PORT = 50051
"""Weaviate's own default."""
PORTS = {"http": 80, "https": 443}
NO_TENANT = "tenant not found"
SILENT = (WeaviateConnectionError, WeaviateTimeoutError, WeaviateGRPCUnavailableError)
SILENT_CODES = (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED)


class NoTenant(CarillonError):
    """A scope that nothing was ever put into."""


def open_client(settings: WeaviateStore) -> WeaviateAsyncClient:
    """A client that is not connected yet. Raises SettingsError when its key is missing."""
    http = urlsplit(settings.url)
    rpc = urlsplit(settings.grpc_url or f"{http.scheme}://{http.hostname}:{GRPC_PORT}")
    key = settings.api_key.resolve().get_secret_value() if settings.api_key else None
    longest = settings.timeout_s
    return use_async_with_custom(
        http_host=http.hostname or "",
        http_port=http.port or PORTS[http.scheme],
        http_secure=http.scheme == "https",
        grpc_host=rpc.hostname or "",
        grpc_port=rpc.port or PORTS[rpc.scheme],
        grpc_secure=rpc.scheme == "https",
        auth_credentials=key,
        additional_config=AdditionalConfig(
            timeout=Timeout(init=longest, query=longest, insert=longest)
        ),
        # Among the checks is one that asks the package index for a newer client.
        skip_init_checks=True,
    )


@asynccontextmanager
async def answered(longest_s: float) -> AsyncIterator[None]:
    """Around one call: the client tries again by itself, here not beyond `longest_s` seconds.

    Raises:
        NoTenant: the call is about a tenant that is not there.
        StoreUnavailable: no answer in time, or a refusal, which is logged.
    """
    try:
        async with asyncio.timeout(longest_s):
            yield
    except (httpx.HTTPError, OSError) as error:  # TimeoutError is one
        raise _no_answer() from error
    except WeaviateBaseError as error:
        raise (_no_answer() if _is_silence(error) else refusal(error.message)) from None


def refusal(reason: str) -> CarillonError:
    """What to raise for a call that Weaviate refused."""
    if NO_TENANT in reason:
        return NoTenant("Weaviate has no such tenant")
    logger.error("Weaviate refused: %s", reason[:1_000])
    return StoreUnavailable("Weaviate refused a call; its answer is in the log", None, 1.0)


def _no_answer() -> StoreUnavailable:
    return StoreUnavailable("Weaviate does not answer", retry_after_s=1.0)


def _is_silence(error: WeaviateBaseError) -> bool:
    return any(
        isinstance(each, SILENT) or (isinstance(each, AioRpcError) and each.code() in SILENT_CODES)
        for each in _reasons(error)
    )


def _reasons(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was made of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
