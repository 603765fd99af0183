"""Batches: a file of requests, each made as if it had come over HTTP, and a file of answers.

Place in the path: a kind of job (`ingress.job_kind`), in pieces of some lines each. Each line is
one call through the request path (`graphs.batch_calls`). A line that meets a full window waits for
it, as long as the batch has time. Requests and answers are those of OpenAI's Batch API.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from auth.files import FileBook
from auth.jobs import Job, JobBook
from auth.principal import Scope
from core.errors import BodyTooLarge, StoreUnavailable
from graphs.batch_answers import BatchAnswers, Written
from graphs.batch_calls import BatchCalls, Settles, Surroundings, name_of, refused
from graphs.batch_journal import PieceJournal, counts_of
from graphs.batch_requests import BatchRequests, Line
from ingress.catalog import Catalog
from ingress.job_kind import Outcome
from ingress.media.store import MediaStore
from ingress.path import RequestPath
from ingress.route_rules import RouteRules

PIECE_LINES = 32
AT_ONCE = 8
"""Lines under way for one batch: a batch fills gaps, it does not push others aside."""
MOST_BYTES = 8 * 2**30
"""Of answers. Lines after those that fill it are refused and cost nothing."""


class Batches:
    """Runs batches.

    Args:
        longest: bytes of an answer that admission remembers under its call's name.
    """

    name = "batch"
    in_one = False

    def __init__(
        self,
        path: RequestPath,
        book: JobBook,
        files: FileBook,
        media: MediaStore,
        rules: RouteRules,
        admission: Settles,
        longest: int,
    ) -> None:
        self.catalog = Catalog([])
        self._path = path
        self._book = book
        self._media = media
        self._admission = admission
        self._requests = BatchRequests(files, media)
        self._answers = BatchAnswers(files, media)
        self._calls = BatchCalls(path, rules, admission, self._answers, longest)

    async def plan(self, job: Job) -> int:
        """Check every line before the first one costs anything. Raises InvalidRequest."""
        count = await self._requests.check(job)
        await self._book.advance(job, 0, {"counts": counts_of(count, 0, 0)})
        return -(-count // PIECE_LINES)

    async def piece(self, job: Job, index: int) -> Outcome:
        """Some lines, several at a time; their answers go to the media store."""
        first = index * PIECE_LINES
        await self._forget(job, first - PIECE_LINES, first)
        principal = await self._path.identify(job.caller, Scope.INFERENCE)
        await self._media.require_room(principal)
        last = min(first + PIECE_LINES, await self._requests.count(job))
        lines = await self._requests.some(job, first, last)
        journal = PieceJournal(job, self._book, index)
        around = Surroundings(job, principal, journal, self.catalog)
        answers = await self._made(around, first, lines)
        good = [answer for answer in answers if answer.good]
        bad = [answer for answer in answers if not answer.good]
        outcome = {
            "completed": len(good),
            "failed": len(bad),
            "output": await self._answers.keep(job, principal, good),
            "errors": await self._answers.keep(job, principal, bad),
        }
        await journal.done(len(good), len(bad), sum(answer.size for answer in answers))
        return outcome

    async def finish(self, job: Job, outcomes: list[Outcome]) -> Outcome:
        """One file of answers and one of errors, each only if there are any."""
        completed = sum(outcome["completed"] for outcome in outcomes)
        failed = sum(outcome["failed"] for outcome in outcomes)
        await self._forget(job, completed + failed - PIECE_LINES, completed + failed)
        principal = await self._path.identify(job.caller, Scope.INFERENCE)
        files = [
            await self._answers.file(job, principal, which, _parts(outcomes, which))
            for which in ("output", "errors")
        ]
        parts = {part for which in ("output", "errors") for part in _parts(outcomes, which)}
        await self._answers.discard(job.tenant_id, parts - {file.hash for file in files if file})
        self._requests.forget(job)
        output, errors = files
        return {
            "output_file_id": output.id if output else None,
            "error_file_id": errors.id if errors else None,
            "counts": counts_of(completed + failed, completed, failed),
        }

    async def ended(self, job: Job) -> None:
        """Nobody is told: callers look."""

    async def _made(self, around: Surroundings, first: int, lines: Sequence[Line]) -> list[Written]:
        """All answers. When one cannot be had yet the others come to their end first: what was
        answered is remembered, and not made again with the piece.
        """
        if around.journal.bytes_before > MOST_BYTES:
            full = BodyTooLarge("the batch's answers fill its file: send the rest in another batch")
            return [refused(around.job, first + n, line, full) for n, line in enumerate(lines)]
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(number: int, line: Line) -> Written:
            async with gate:
                return await self._calls.make(around, number, line)

        made = await asyncio.gather(
            *(one(first + n, line) for n, line in enumerate(lines)), return_exceptions=True
        )
        answers: list[Written] = []
        for answer in made:
            if isinstance(answer, BaseException):
                raise answer
            answers.append(answer)
        return answers

    async def _forget(self, job: Job, first: int, last: int) -> None:
        """Answers of these lines need not be remembered any more: their piece is done."""
        with suppress(StoreUnavailable):  # they are forgotten in time
            await self._admission.forget_once([name_of(job, n) for n in range(max(first, 0), last)])


def _parts(outcomes: Sequence[Outcome], which: str) -> list[str]:
    return [part for outcome in outcomes for part in outcome[which]]
