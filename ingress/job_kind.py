"""What a kind of job must say of itself, so that it can go on where it was stopped.

Place in the path: between the routes that ask for jobs and `graphs.jobs`, which runs them. A job
is a row of pieces. When the process dies, pieces that were finished are not repeated, unless all of
a job is one step; the one that was under way is.
"""

from typing import Any, Protocol

from auth.jobs import Job

Outcome = dict[str, Any]
"""JSON; what is large belongs in the media store."""


class JobKind(Protocol):
    """One kind of job. Methods raise CarillonError; Unavailable means: try this again."""

    name: str
    in_one: bool
    """Whether all pieces and the end are one step: for kinds whose pieces know by themselves what
    of them is done, so that nothing is made or charged again with them."""

    async def plan(self, job: Job) -> int:
        """How many pieces there are."""
        ...

    async def piece(self, job: Job, index: int) -> Outcome:
        """Do one piece. It may have been begun before, by a process that died."""
        ...

    async def finish(self, job: Job, outcomes: list[Outcome]) -> Outcome:
        """Put the pieces together: what the job's row keeps as its result."""
        ...

    async def ended(self, job: Job) -> None:
        """Its row says that it completed, failed or was cancelled. Said more than once at times."""
        ...
