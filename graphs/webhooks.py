"""Webhooks: telling whoever asked that a run of a workflow has ended.

Place in the path: a kind of job (`ingress.job_kind`) of one piece, which is one signed POST. Where
the receiver did not take it the job has failed, and another time is written down for it
(`auth.webhook_tries`). What a URL may reach is what fetched media may (`ingress.outbound`): nothing
of our own network. Redirects are not followed.
"""

import asyncio
import random
import ssl
from collections.abc import Callable
from datetime import UTC, datetime

import httpcore
import httpx
import orjson
from pydantic import Field

from auth.jobs import Job, JobBook, JobStatus
from auth.webhook_tries import WebhookTries, pause_after
from auth.webhooks import WebhookSigner
from core.errors import InvalidRequest, NotDelivered, NotFound
from core.model import Frozen
from ingress.addresses import Resolver, system_resolver
from ingress.job_kind import Outcome
from ingress.outbound import UNREACHABLE, CheckedNetwork, fetchable
from ingress.workflow_answers import run_object
from ingress.workflow_runs import at_its_end

MAX_AT_ONCE = 16
GOOD = range(200, 300)
GONE = 410
"""The receiver wants no more (Standard Webhooks)."""
JITTER = 0.1
"""Share that pauses are longer by at most, so that what failed together does not come together."""


class WebhookSettings(Frozen):
    """How webhooks are sent."""

    allow_private_urls: bool = False
    """Reach hosts that are not on the public internet too: for installations whose every caller
    may reach the internal network anyway."""
    timeout_s: float = Field(10.0, gt=0, le=60)
    """Longest wait for a receiver's answer."""


class Webhooks:
    """Sends them.

    Args:
        resolve: host names to addresses.
        trust: certificates of HTTPS servers; the usual authorities when not given.
    """

    name = "webhook"
    in_one = False

    def __init__(
        self,
        settings: WebhookSettings,
        book: JobBook,
        tries: WebhookTries,
        signer: WebhookSigner,
        resolve: Resolver = system_resolver,
        trust: ssl.SSLContext | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._book = book
        self._tries = tries
        self._signer = signer
        self._now = now
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trust or httpx.create_ssl_context(),
            max_connections=MAX_AT_ONCE,
            max_keepalive_connections=0,
            network_backend=CheckedNetwork(resolve, settings.allow_private_urls),
        )

    async def plan(self, job: Job) -> int:
        """One POST."""
        return 1

    async def piece(self, job: Job, index: int) -> Outcome:
        """Send it. Raises NotDelivered, InvalidRequest where another try would be of no use."""
        try:
            run = await self._book.read(job.request["run_id"])
        except NotFound:
            return {"status_code": None}  # the run was deleted: there is nothing to tell
        run = at_its_end(run, job.request["end"])  # it may have been resumed since
        told = {
            "type": f"workflow.run.{run.status.value}",
            "timestamp": self._now().isoformat(),
            "data": run_object(run),
        }
        return {"status_code": await self._post(job, orjson.dumps(told))}

    async def finish(self, job: Job, outcomes: list[Outcome]) -> Outcome:
        """What the receiver said."""
        return outcomes[0]

    async def ended(self, job: Job) -> None:
        """Have what was not delivered tried again. Nobody else is told of it."""
        if job.status is not JobStatus.FAILED or job.error_code == InvalidRequest.code:
            return
        if (pause := pause_after(job)) is not None:
            longer = 1 + JITTER * random.random()  # noqa: S311 - no secret
            await self._tries.postpone(job, self._now() + pause * longer)

    async def _post(self, job: Job, body: bytes) -> int:
        url = fetchable(job.request["url"], "webhook.url")
        headers = self._signer.headers(job.tenant_id, job.id, self._now(), body)
        told = [(b"host", url.netloc), (b"content-length", str(len(body)).encode())]
        told += [(b"content-type", b"application/json"), (b"user-agent", b"carillon")]
        told += [(name.encode(), value.encode()) for name, value in headers.items()]
        raw = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        try:
            async with (
                asyncio.timeout(self._settings.timeout_s),
                self._pool.stream("POST", raw, headers=told, content=body) as response,
            ):
                status = response.status  # its body is nobody's business
        except (TimeoutError, httpcore.TimeoutException) as error:
            raise NotDelivered("the webhook's receiver took too long to answer") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError) as error:
            raise NotDelivered(f"the webhook was not delivered: {UNREACHABLE}") from error
        if status == GONE:
            raise InvalidRequest("the webhook's receiver answered 410: it wants no more")
        if status not in GOOD:
            raise NotDelivered(f"the webhook's receiver answered {status}")
        return int(status)
