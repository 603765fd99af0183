"""Calls of steps: each made as if it had come over HTTP, on the key that began the run.

Place in the path: around it. A call is admitted, cached, settled and in the ledger for itself. A
full rate window is waited for, as long as the run has time; a spent budget is not: the run fails
there, and is resumed when somebody wants it. It decides nothing about retries of failures.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from auth.admission import Admission, Settlement
from auth.jobs import Job
from auth.principal import Principal, Scope
from core.errors import (
    AlreadyCharged,
    BudgetSpent,
    Conflict,
    DeadlineExceeded,
    InvalidRequest,
    LimitReached,
    ModelUnavailable,
    Unavailable,
)
from graphs.orchestrator.outputs import Made
from graphs.orchestrator.repeats import Repeats, asked_of
from graphs.orchestrator.versions import Versions
from graphs.patience import Patience
from ingress.call import CachePolicy, Call
from ingress.catalog import Catalog
from ingress.exchange import call_of
from ingress.media.store import MediaStore
from ingress.path import Answer, RequestPath
from ingress.route_rules import FRESH, names_no_seed
from ingress.workflow_plan import PlannedStep

ENDPOINT = "/v1/workflows/runs"
Begun = Callable[[str], Awaitable[None]]
"""Told the ledger's id of a call before it is made."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A step's answer, and what is told of it."""

    answer: Answer
    principal: Principal
    call: Call
    asked: str | None
    """See `graphs.orchestrator.repeats`."""

    @property
    def cache(self) -> str | None:
        """`HIT`, `MISS` or `BYPASS`."""
        return self.call.headers.get("x-cache")

    @property
    def was_charged_before(self) -> bool:
        """Whether a process that died had been answered: the ledger has that call, not this one."""
        return self.call.once is not None and self.cache == "HIT"


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What the run that is repeated made: no call is needed."""

    made: Made
    asked: str | None


class StepCalls:
    """Makes calls for runs."""

    def __init__(
        self,
        path: RequestPath,
        admission: Admission,
        media: MediaStore,
        versions: Versions,
        repeats: Repeats,
    ) -> None:
        self._path = path
        self._admission = admission
        self._media = media
        self._versions = versions
        self._repeats = repeats

    async def make(
        self,
        job: Job,
        step: PlannedStep,
        document: dict[str, Any],
        item: int,
        once: str | None,
        begun: Begun,
    ) -> Answered | TakenOver:
        """A step's answer, or what stands for it.

        Args:
            item: of the step.
            once: names the call, which is charged once though its process dies before that is
                written down.

        Raises:
            StoreUnavailable: nothing can be said of the step; the run has to be tried again.
            CarillonError: the step failed.
        """
        patience = Patience(job)
        while True:
            principal = await self._path.identify(job.caller, Scope.INFERENCE)
            told = await self._versions.told(step.operation, document, principal.tenant_id)
            call = _call(job, step, told, principal, once)
            policy = CachePolicy(*job.request["cache"])
            asked = await asyncio.to_thread(asked_of, call, policy, f"{step.id}/{item}")
            if (made := await self._repeats.made(job, asked)) is not None:
                return TakenOver(made, asked)
            await self._require_room(step, principal)
            await begun(call.request_id)
            try:
                answer = await self._answer(job, call, principal, step.links.step.timeout_s)
            except BudgetSpent:
                raise
            except AlreadyCharged:
                once = None  # its answer is gone: it has to be made again
                continue
            except Conflict as error:
                if call.once is None or error.retry_after_s is None:
                    raise  # the model's own
                await patience.after(error)  # a process that is thought dead still makes it
                continue
            except (LimitReached, Unavailable) as error:
                await patience.after(error)
                continue
            return Answered(answer, principal, call, asked)

    async def _require_room(self, step: PlannedStep, principal: Principal) -> None:
        if step.operation.makes_media:  # what is paid for has to be put somewhere
            await self._media.require_room(principal)

    async def _answer(self, job: Job, call: Call, principal: Principal, timeout_s: float) -> Answer:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._path.answer(call, job.caller, principal)
        except TimeoutError as error:
            raise DeadlineExceeded(f"no answer within {timeout_s:g} s") from error

    async def free(self, request_id: str) -> None:
        """End a call that a killed process left behind; nothing happens if it had ended."""
        lost = ModelUnavailable("the process that made this call was killed")
        await self._admission.settle(
            Settlement(
                request_id,
                status_code=lost.status_code,
                error_code=lost.code,
                error_message=lost.message,
            )
        )


def _call(
    job: Job,
    step: PlannedStep,
    document: dict[str, Any],
    principal: Principal,
    once: str | None,
) -> Call:
    if document.get("stream"):
        raise InvalidRequest("steps are whole: 'stream' cannot be true", "stream")
    asked = dict(document)
    if "model" in step.operation.request.model_fields:
        asked["model"] = step.model.card.id
    call = call_of(
        Catalog([]),
        step.operation_name,
        asked,
        step.model,
        tenant=principal.tenant_id,
        request_id=uuid.uuid4().hex,
        trace_id=job.id,
        endpoint=ENDPOINT,
        cache=CachePolicy(*job.request["cache"]),
        promise=(job.execution, step.id),
    )
    if names_no_seed(call):
        call.cache = FRESH
    kept = step.operation.cacheable and call.cache.read and call.cache.write
    call.once = None if kept else once  # what is in the cache is not charged again anyway
    call.streamed = False  # some requests always stream for those who can take it
    return call
