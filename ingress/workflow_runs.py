"""Runs of workflows: begun, if they can be run at all, cancelled, resumed, and run again.

Place in the path: before it, under the routes. All that can be wrong with a workflow is found here,
before it is written down and handed over as a job; its calls take the request path later
(`graphs.orchestrator`). No model is woken here.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from auth.jobs import Job, JobBook, JobStatus
from auth.principal import Principal
from auth.webhook_tries import WebhookTries
from auth.workflow_steps import StepBook
from core.errors import (
    CarillonError,
    Conflict,
    InvalidRequest,
    LimitReached,
    NotFound,
    StoreUnavailable,
)
from core.plain import checked
from core.workflow import Workflow
from core.workflow_order import place_of, references_at
from ingress.call import CachePolicy
from ingress.catalog import Catalog
from ingress.exchange import validate
from ingress.headroom import Headroom
from ingress.media.naming import HASH
from ingress.media.store import MediaStore
from ingress.outbound import fetchable
from ingress.path import RequestPath
from ingress.workflow_admission import RunAdmission, StepLeft, steps_left
from ingress.workflow_answers import KIND
from ingress.workflow_estimate import works_of
from ingress.workflow_plan import Plan, planned, require_models
from ingress.workflow_recordings import Recordings

PREFIX = "run_"
WEBHOOK = "webhook"
PATIENCE = timedelta(hours=24)
"""How long a run may take, waits for windows to open included."""
PROMISE_S = (PATIENCE + timedelta(hours=1)).total_seconds()
"""When what a run holds of budgets lapses, should whoever runs it never say that it has ended."""
MOST_UNFINISHED = 200
"""Runs of one tenant that have not ended."""
RETRY_S = 10.0
logger = logging.getLogger("ray.serve")


class WorkflowRuns:
    """Those of all tenants."""

    def __init__(
        self,
        path: RequestPath,
        catalog: Catalog,
        book: JobBook,
        steps: StepBook,
        media: MediaStore,
        headroom: Headroom,
        admission: RunAdmission,
        tries: WebhookTries,
    ) -> None:
        self._path = path
        self._catalog = catalog
        self._book = book
        self._steps = steps
        self._media = media
        self._recordings = Recordings(media)
        self._headroom = headroom
        self._admission = admission
        self._tries = tries

    async def plan(self, principal: Principal, document: dict[str, Any]) -> Plan:
        """A workflow's plan.

        Raises InvalidRequest, UnknownParameter, ModelNotFound, ModelForbidden: it could never be
        run as it stands. Each names the place.
        """
        workflow = validate(Workflow, checked(document))
        if workflow.webhook is not None:
            fetchable(workflow.webhook.url, "webhook.url")
        recordings = await self._recordings.stand_ins(principal.tenant_id, workflow)
        plan = await asyncio.to_thread(planned, workflow, self._catalog, recordings)
        require_models(plan, principal)
        await self._require_media(principal, workflow)
        return plan

    async def require_room(self, principal: Principal, left: Sequence[StepLeft]) -> None:
        """Raises LimitReached when budgets cannot hold what is left of a plan, or a rate one call.

        What other runs are promised counts as used.
        """
        await self._headroom.require_all(principal, works_of(left, self._usual(principal)))

    async def begin(
        self,
        principal: Principal,
        document: dict[str, Any],
        cache: CachePolicy,
        once: str | None = None,
        repeats: str | None = None,
    ) -> Job:
        """A new run, handed over. Raises what `plan` and `require_room` do.

        Args:
            once: names it: the same is begun once (`JobBook.add`).
            repeats: a run of the tenant's: what has not changed since is taken over.
        """
        if once is not None:
            before = await self._book.begun(principal.tenant_id, KIND, PREFIX, once)
            if before is not None:  # it may not have been handed over
                await self._hand_over(before)
                return before
        plan = await self.plan(principal, document)
        left = steps_left(plan)
        await self.require_room(principal, left)
        if await self._book.unfinished(principal.tenant_id, KIND) >= MOST_UNFINISHED:
            raise LimitReached(f"{MOST_UNFINISHED} runs are under way already", None, RETRY_S)
        ends = datetime.now(UTC) + PATIENCE
        request = written(plan, cache) | ({} if repeats is None else {"repeats": repeats})
        job = await self._book.add(
            principal, KIND, PREFIX, request, expires_at=ends, once=once, waiting=False
        )
        await self._admit_or_drop(principal, left, job)
        await self._hand_over(job)
        return job

    async def again(
        self,
        principal: Principal,
        run_id: str,
        inputs: dict[str, Any],
        cache: CachePolicy,
        once: str | None = None,
    ) -> Job:
        """The same workflow with some inputs changed; what did not change is taken over."""
        before = await self.find(principal, run_id)
        document = before.request["workflow"]
        unknown = inputs.keys() - document.get("inputs", {}).keys()
        if unknown:
            name = min(unknown)
            raise InvalidRequest(f"the run has no input '{name[:200]}'", f"inputs.{name[:200]}")
        changed = document.get("inputs", {}) | inputs
        document = document | {"inputs": changed}
        return await self.begin(principal, document, cache, once, repeats=before.id)

    async def find(self, principal: Principal, run_id: str) -> Job:
        """A tenant's own run. Raises NotFound."""
        return await self._book.find(principal.tenant_id, KIND, run_id)

    async def cancel(self, principal: Principal, run_id: str) -> Job:
        """Stop it where it is. Raises NotFound, Conflict for one that ended."""
        job = await self._book.cancel(principal.tenant_id, KIND, run_id)
        await self._admission.end(job)
        if "webhook" in job.request["workflow"]:  # of one end there is one, however often
            await followed_by_webhook(self._book, job)
        return job

    async def resume(self, principal: Principal, run_id: str) -> Job:
        """Go on with a run that failed or was cancelled: what completed is not done again.

        Raises NotFound, Conflict, and what `plan` and `require_room` do.
        """
        job = await self.find(principal, run_id)
        left: list[StepLeft] = []
        if job.status in (JobStatus.FAILED, JobStatus.CANCELLED):
            await self._admission.end(job)  # whoever ran it may have died before it could
            plan = await self.plan(principal, job.request["workflow"])
            rows = await self._steps.of_run(principal.tenant_id, run_id)
            left = steps_left(plan, rows)
            await self.require_room(principal, left)
        ends = datetime.now(UTC) + PATIENCE
        job = await self._book.reopen(principal, KIND, run_id, ends)
        await self._admit_or_fail(principal, left, job)
        await self._hand_over(job)
        return job

    async def webhook(self, run: Job) -> Job | None:
        """The job that tells of a run's end, once there is one."""
        try:
            return await self._book.find(run.tenant_id, WEBHOOK, webhook_id(run))
        except NotFound:
            return None

    async def redeliver(self, principal: Principal, run_id: str) -> Job:
        """Have a run's end told again, now, and if need be for another day.

        Raises NotFound, InvalidRequest for a run without a webhook, Conflict for one that has not
        ended, or that is being told of.
        """
        run = await self.find(principal, run_id)
        if "webhook" not in run.request["workflow"]:
            raise InvalidRequest("the run has no webhook")
        if not run.status.is_final:
            raise Conflict("the run has not ended: there is nothing to tell yet")
        hook = await self.webhook(run)
        if hook is None:
            await followed_by_webhook(self._book, run)
        else:
            await self._tries.again(run.tenant_id, hook.id)
        return run

    async def delete(self, principal: Principal, run_id: str) -> None:
        """Forget a run that has ended. Media that it made stay in the tenant's library.

        Raises NotFound, Conflict for one that runs.
        """
        await self._book.delete(principal.tenant_id, KIND, run_id)

    async def _admit_or_drop(
        self, principal: Principal, left: Sequence[StepLeft], job: Job
    ) -> None:
        """Hold room for all of a new run; without it, there is none. Raises LimitReached."""
        try:
            await self._admission.admit(principal, job, left, PROMISE_S)
        except CarillonError:
            await self._book.cancel(principal.tenant_id, KIND, job.id)
            await self._book.delete(principal.tenant_id, KIND, job.id)
            raise

    async def _admit_or_fail(
        self, principal: Principal, left: Sequence[StepLeft], job: Job
    ) -> None:
        """The same for a run that is resumed: it stays one that failed. Raises LimitReached."""
        try:
            await self._admission.admit(principal, job, left, PROMISE_S)
        except CarillonError as error:
            await self._book.fail(job.id, error.code, error.message)
            raise

    async def _hand_over(self, job: Job) -> None:
        """Have it run. Its row is a promise by now: should the last word of it fail, the sweeper
        finds it within a minute, and a 503 would have the caller ask for the same work twice.
        """
        try:
            await self._book.hand_over(job)
        except StoreUnavailable as error:
            logger.warning("run %s waits for the sweeper: %s", job.id, error)

    def _usual(self, principal: Principal) -> Any:
        return partial(self._path.reserved, principal)

    async def _require_media(self, principal: Principal, workflow: Workflow) -> None:
        """Raises InvalidRequest for references to media that the tenant does not have."""
        parts: list[tuple[tuple[str | int, ...], Any]] = [(("outputs",), workflow.outputs)]
        for number, step in enumerate(workflow.steps):
            parts.append((("steps", number, "input"), step.input))
            parts.append((("steps", number, "map"), step.over))
        found: dict[str, str] = {}
        for inside, part in parts:
            for place, reference in references_at(part, *inside):
                if reference.root == "media":
                    found.setdefault(str(reference.path[0]), place_of(*inside, *place))
        for blob, where in found.items():
            await self._require_medium(principal, blob, where)

    async def _require_medium(self, principal: Principal, blob: str, place: str) -> None:
        try:
            if not HASH.fullmatch(blob):
                raise NotFound("no such media")
            await self._media.find(principal.tenant_id, blob)
        except NotFound as error:
            raise InvalidRequest(f"'{place}': there are no such media", place) from error


async def followed_by_webhook(book: JobBook, run: Job) -> Job:
    """The job that tells of a run's end. Of one end there is one, however often it is asked for."""
    told = {
        "run_id": run.id,
        "url": run.request["workflow"]["webhook"]["url"],
        "end": {
            "status": run.status.value,
            "at": None if run.ended_at is None else run.ended_at.isoformat(),
            "resumed": run.result.get("resumed", 0),
            "error": [run.error_code, run.error_message],
        },
    }
    return await book.follow(run, WEBHOOK, webhook_id(run), told)


def at_its_end(run: Job, end: dict[str, Any]) -> Job:
    """A run as it was when it ended, whatever has become of it since.

    Args:
        end: what `followed_by_webhook` wrote down of that.
    """
    code, message = end["error"]
    return replace(
        run,
        status=JobStatus(end["status"]),
        ended_at=None if end["at"] is None else datetime.fromisoformat(end["at"]),
        result=run.result | {"resumed": end["resumed"]},
        error_code=code,
        error_message=message,
    )


def webhook_id(run: Job) -> str:
    """What the job is called that tells of a run's end."""
    return f"hook_{run.execution.removeprefix(PREFIX).replace('.', '_')}"


def written(plan: Plan, cache: CachePolicy) -> dict[str, Any]:
    """What a run's row keeps of how it was asked for."""
    return {
        "workflow": plan.workflow.written(),
        "cache": [cache.read, cache.write],
    }
