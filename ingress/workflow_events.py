"""What happens to a run of a workflow, as server-sent events until its end.

Place in the path: end of an exchange about a run. It reads rows, so that any gateway can tell.
Events of steps carry the number of the change that they tell of: a caller that comes back with
`Last-Event-ID` is told what changed since.
"""

import time
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import orjson

from auth.job_news import JobNews
from auth.jobs import Job, JobBook
from auth.workflow_steps import StepBook, StepRow
from core.errors import StoreUnavailable
from ingress.workflow_answers import KIND, run_object, step_object

LOOK_S = 0.5
"""Between looks at a run that no news come of."""
KEEP_ALIVE_S = 15.0
WAITING = b": waiting\n\n"


async def events(
    job: Job, book: JobBook, steps: StepBook, news: JobNews, last: int
) -> AsyncGenerator[bytes, None]:
    """Of steps what changed after the change `last`; of the run where it stands, and its end."""
    telling = _Telling(last)
    at = time.monotonic()
    with news.of(job.id) as watch:
        while True:
            try:
                # The run first: when it has ended, what is read of its steps after that is all.
                job = await book.find(job.tenant_id, KIND, job.id)
                rows = await steps.of_run(job.tenant_id, job.id, telling.last)
            except StoreUnavailable:
                pieces, ended = [WAITING], False
            else:
                pieces, ended = list(telling.news(job, rows)), job.status.is_final
            if not pieces and time.monotonic() - at >= KEEP_ALIVE_S:
                pieces = [WAITING]
            for piece in pieces:
                at = time.monotonic()
                yield piece
            if ended:
                return
            await watch.change(LOOK_S)


class _Telling:
    """What one caller was told so far."""

    def __init__(self, last: int) -> None:
        self.last = last
        self._status = ""

    def news(self, job: Job, rows: list[StepRow]) -> Iterator[bytes]:
        """The start of a run before its steps, its end after them."""
        if not job.status.is_final:
            yield from self._run(job)
        for row in rows:
            self.last = row.change
            body = {"run_id": job.id, "step": step_object(row)}
            yield _event(f"workflow.step.{row.status.value}", body, row.change)
        if job.status.is_final:
            yield from self._run(job)

    def _run(self, job: Job) -> Iterator[bytes]:
        if job.status.value != self._status:
            self._status = job.status.value
            yield _event(f"workflow.run.{self._status}", {"run": run_object(job)})


def _event(name: str, body: dict[str, Any], change: int | None = None) -> bytes:
    numbered = b"" if change is None else f"id: {change}\n".encode()
    data = orjson.dumps({"type": name, **body})
    return numbered + f"event: {name}\ndata: ".encode() + data + b"\n\n"
