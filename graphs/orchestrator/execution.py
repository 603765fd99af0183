"""One run of a workflow, from wherever it stands to its end.

Place in the path: around its steps. A step runs as soon as all that it waits for has ended, several
at a time. What the journal says has ended is not done again; what was under way when a process died
is. The first failure that its step does not forgive ends the run: nothing new begins then, and what
is under way, which is paid for, is kept.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import orjson

from auth.workflow_steps import StepStatus
from core.errors import CarillonError, InvalidRequest, StoreUnavailable
from core.references import Missing, Room, TooLarge, filled, references_in
from graphs.orchestrator.step_run import StepRun, Surroundings, ended_early
from ingress.workflow_plan import Plan, PlannedStep

AT_ONCE = 8
"""Calls under way for one run: it fills gaps, it does not push others aside."""
LARGEST_OUTPUTS = 256 * 2**10
"""Bytes of a run's own outputs, as JSON: those of its steps are kept with them."""
Told = Callable[[float], Awaitable[None]]


class Execution:
    """One run.

    Args:
        told: hears the share that is done, whenever it changes.
    """

    def __init__(self, plan: Plan, around: Surroundings, told: Told) -> None:
        self._plan = plan
        self._around = around
        self._told = told
        self.failure: tuple[str, str] | None = None
        """Code and message, of a run that failed."""

    async def run(self) -> dict[str, Any]:
        """The run's outputs; empty when it failed. Raises StoreUnavailable: it can go on later."""
        await self._around.journal.load()
        for request_id in self._around.journal.lost.values():
            await self._around.calls.free(request_id)
        for step in self._plan.steps:
            self._judge(step)
        await self._steps()
        return {} if self.failure else await self._outcome()

    async def _steps(self) -> None:
        ended = self._around.journal.ended
        waiting = {step.id: step for step in self._plan.steps if step.id not in ended}
        running: dict[asyncio.Task[None], PlannedStep] = {}
        try:
            while True:
                for step in [] if self.failure else list(waiting.values()):
                    if step.links.waits <= ended.keys():
                        run = StepRun(waiting.pop(step.id), self._around).run()
                        running[asyncio.get_running_loop().create_task(run)] = step
                if not running:
                    return
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    step = running.pop(task)
                    task.result()
                    self._judge(step)
                    await self._give_back(step)
                await self._told(len(ended) / len(self._plan.steps))
        finally:
            await ended_early(running)

    async def _give_back(self, step: PlannedStep) -> None:
        """What was held for calls that it did not make."""
        with suppress(StoreUnavailable):  # the end of the run will do
            await self._around.promises.forget(self._around.job.execution, step.id)

    def _judge(self, step: PlannedStep) -> None:
        """Whether a step that has ended ends the run."""
        ended = self._around.journal.ended.get(step.id)
        if ended is None or ended.status is not StepStatus.FAILED or self.failure:
            return
        if step.links.step.on_failure == "fail":
            code, message = ended.error or (CarillonError.code, "")
            self.failure = (code, f"step '{step.id}': {message}")

    async def _outcome(self) -> dict[str, Any]:
        outputs = self._plan.workflow.outputs
        if outputs is None:
            return {}
        try:
            room, known = Room(LARGEST_OUTPUTS), {}
            for _, reference in references_in(outputs):
                if reference.text not in known:
                    known[reference.text] = await self._around.values.told(reference, room)
            told = filled(outputs, lambda reference: known[reference.text])
        except (Missing, TooLarge) as error:
            self.failure = (InvalidRequest.code, f"'outputs': {error}")
            return {}
        if len(orjson.dumps(told)) > LARGEST_OUTPUTS:
            self.failure = (
                InvalidRequest.code,
                f"'outputs' are over the limit of {LARGEST_OUTPUTS} bytes: name parts of steps",
            )
            return {}
        return {"outputs": told}
