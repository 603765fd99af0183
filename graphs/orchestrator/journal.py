"""The journal of a run: what its steps have made, in memory and, first of all, in PostgreSQL.

Place in the path: under one run. A step has ended when its row is written and not before, so a
process that takes the run over knows all that this one knew. It decides nothing.
"""

import asyncio
from dataclasses import replace

from auth.jobs import Job
from auth.workflow_steps import ONE, StepBook, StepRow, StepStatus
from core.errors import StoreUnavailable
from graphs.orchestrator.outputs import Made
from graphs.orchestrator.values import NOTHING, Ended
from graphs.patience import Patience


class Journal:
    """That of one run."""

    def __init__(self, job: Job, book: StepBook) -> None:
        self._job = job
        self._book = book
        self._change = 0
        self._writing = asyncio.Lock()
        self._rows: dict[tuple[str, int], StepRow] = {}
        self.ended: dict[str, Ended] = {}
        """Steps that have, by name."""
        self.lost: dict[tuple[str, int], str] = {}
        """Calls of a dead process that nobody heard the end of, by step and item."""
        self.blobs: set[str] = set()
        """Files that steps made, as far as this process saw them."""

    async def load(self) -> None:
        """Read what was written before."""
        rows = await self._book.of_run(self._job.tenant_id, self._job.id)
        for row in rows:
            self._change = max(self._change, row.change)
            if row.status is StepStatus.RUNNING and row.request_id is not None:
                self.lost[row.step, row.item] = row.request_id
            if row.status.is_final:
                self._rows[row.step, row.item] = row
        for row in self._rows.values():
            if row.item == ONE:
                self.ended[row.step] = self._ended(row)
        self.blobs.update(self._job.result.get("blobs", ()))

    def item(self, step: str, item: int) -> StepRow | None:
        """An item of a step that ended before."""
        return self._rows.get((step, item))

    def has_failed(self, step: str) -> bool:
        """Whether an item of a step has."""
        return any(
            row.status is StepStatus.FAILED
            for (name, item), row in self._rows.items()
            if name == step and item != ONE
        )

    async def write(self, row: StepRow, made: Made = NOTHING) -> None:
        """Write a change; with `made` that of a step that completed. Raises StoreUnavailable."""
        row = replace(row, output=made.output, blob=made.blob) if made is not NOTHING else row
        async with self._writing:  # in their order, so that whoever reads them misses none
            self._change += 1
            row = replace(row, change=self._change)
            await self._stubbornly(row)
        self.blobs |= made.blobs
        if row.status.is_final:
            self._rows[row.step, row.item] = row
            if row.item == ONE:
                self.ended[row.step] = self._ended(row)

    async def _stubbornly(self, row: StepRow) -> None:
        patience = Patience(self._job)
        while True:
            try:
                return await self._book.record(self._job.tenant_id, self._job.id, row)
            except StoreUnavailable as error:
                await patience.after(error)

    def _ended(self, row: StepRow) -> Ended:
        error = None if row.error_code is None else (row.error_code, row.error_message or "")
        items = sorted(item for step, item in self._rows if step == row.step and item != ONE)
        if items and row.output is None and row.blob is None:
            return Ended(row.status, tuple(self._made(row.step, item) for item in items), error)
        return Ended(row.status, Made(row.output, row.blob), error)

    def _made(self, step: str, item: int) -> Made:
        row = self._rows[step, item]
        return Made(row.output, row.blob)
