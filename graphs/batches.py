"""Batches: a file of requests, each made as if it had come over HTTP, and a file of answers.

Place in the path: a kind of job (`ingress.job_kind`). Each line is one call through the request
path: admitted, cached, settled and in the ledger for itself. A line that meets a full window
waits for it, as long as the batch has time. Requests and answers are those of OpenAI's Batch API.
"""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import orjson

from auth.files import File, FileBook
from auth.jobs import Job, JobBook
from auth.principal import Principal, Scope
from core.errors import CarillonError, InvalidRequest, LimitReached, MalformedBody, Unavailable
from graphs.patience import Patience
from ingress.batch_endpoints import OPERATIONS
from ingress.catalog import Catalog
from ingress.exchange import call_of
from ingress.job_kind import Outcome
from ingress.media.store import MediaStore
from ingress.path import RequestPath
from ingress.rendering import openai_body

PIECE_LINES = 32
AT_ONCE = 8
"""Lines under way for one batch: a batch fills gaps, it does not push others aside."""
MAX_LINES = 50_000
FILES_KEPT = 4
"""Batches whose requests stay in memory; those of others are read again for each piece."""
MAX_BATCH_BYTES = 100 * 2**20
ANSWER_TYPE = "application/jsonl"
Line = dict[str, Any]


class Batches:
    """Runs batches."""

    name = "batch"

    def __init__(
        self, path: RequestPath, book: JobBook, files: FileBook, media: MediaStore
    ) -> None:
        self.catalog = Catalog([])
        self._read: OrderedDict[str, list[Line]] = OrderedDict()
        self._path = path
        self._book = book
        self._files = files
        self._media = media

    async def plan(self, job: Job) -> int:
        """Check every line before the first one costs anything. Raises InvalidRequest."""
        lines = await self._lines(job)
        await asyncio.to_thread(_check, lines, job.request["endpoint"])
        await self._book.advance(job.id, 0, {"counts": _counts(len(lines), 0, 0)})
        return -(-len(lines) // PIECE_LINES)

    async def piece(self, job: Job, index: int) -> Outcome:
        """Some lines, several at a time; their answers go to the media store."""
        lines = await self._lines(job)
        principal = await self._path.identify(job.caller, Scope.INFERENCE)
        gate = asyncio.Semaphore(AT_ONCE)
        first = index * PIECE_LINES

        async def one(number: int) -> tuple[Line, bool]:
            async with gate:
                return await self._answer(job, principal, number, lines[number])

        numbers = range(first, min(first + PIECE_LINES, len(lines)))
        answers = await asyncio.gather(*(one(number) for number in numbers))
        good = [line for line, ok in answers if ok]
        bad = [line for line, ok in answers if not ok]
        await self._count(job, len(lines), len(good), len(bad))
        return {
            "completed": len(good),
            "failed": len(bad),
            "output": await self._keep(principal, good),
            "errors": await self._keep(principal, bad),
        }

    async def finish(self, job: Job, outcomes: list[Outcome]) -> Outcome:
        """One file of answers and one of errors, each only if there are any."""
        self._read.pop(job.id, None)
        principal = await self._path.identify(job.caller, Scope.INFERENCE)
        output = await self._join(job, principal, outcomes, "output")
        errors = await self._join(job, principal, outcomes, "errors")
        completed = sum(outcome["completed"] for outcome in outcomes)
        failed = sum(outcome["failed"] for outcome in outcomes)
        kept = {file.hash for file in (output, errors) if file}
        parts = {outcome[which] for outcome in outcomes for which in ("output", "errors")}
        for part in parts - kept - {None}:
            await self._media.discard(job.tenant_id, part)
        return {
            "output_file_id": output.id if output else None,
            "error_file_id": errors.id if errors else None,
            "counts": _counts(completed + failed, completed, failed),
        }

    async def ended(self, job: Job) -> None:
        """Nobody is told: callers look."""

    async def _answer(
        self, job: Job, principal: Principal, number: int, line: Line
    ) -> tuple[Line, bool]:
        """One line's answer, and whether it is one."""
        body, request_id = line["body"], uuid.uuid4().hex
        try:
            answer = await self._patiently(job, principal, number, body, request_id)
        except CarillonError as error:
            answered = _response(request_id, error.status_code, openai_body(error))
            return _entry(job, number, line, answered), False
        answered = _response(request_id, 200, orjson.loads(answer))
        return _entry(job, number, line, answered), True

    async def _patiently(
        self, job: Job, principal: Principal, number: int, body: Line, request_id: str
    ) -> bytes:
        """Make the call; wait for windows that open and models that come back."""
        patience = Patience(job)
        while True:
            call = call_of(
                self.catalog,
                OPERATIONS[job.request["endpoint"]],
                body,
                request_id=request_id,
                trace_id=f"{job.id}-{number}",
                endpoint="/v1/batches",
            )
            try:
                return (await self._path.answer(call, job.caller, principal)).body
            except (LimitReached, Unavailable) as error:
                await patience.after(error)
            # What the refused attempt left behind must not settle this one.
            request_id = uuid.uuid4().hex

    async def _lines(self, job: Job) -> list[Line]:
        """The requests, kept from piece to piece: anew each time would be quadratic."""
        if (kept := self._read.get(job.id)) is not None:
            self._read.move_to_end(job.id)
            return kept
        file = await self._files.find(job.tenant_id, job.request["input_file_id"])
        content = await self._content(job.tenant_id, file.hash)
        lines = self._read[job.id] = await asyncio.to_thread(parse_lines, content)
        while len(self._read) > FILES_KEPT:
            self._read.popitem(last=False)
        return lines

    async def _content(self, tenant_id: str, blob: str) -> bytes:
        return await self._media.read(await self._media.find(tenant_id, blob))

    async def _keep(self, principal: Principal, lines: list[Line]) -> str | None:
        if not lines:
            return None
        data = b"".join(orjson.dumps(line) + b"\n" for line in lines)
        media = await self._media.put(principal, data, ANSWER_TYPE)
        return media.hash

    async def _join(
        self, job: Job, principal: Principal, outcomes: list[Outcome], which: str
    ) -> File | None:
        names = [outcome[which] for outcome in outcomes if outcome[which]]
        if not names:
            return None
        data = b"".join([await self._content(job.tenant_id, name) for name in names])
        media = await self._media.put(principal, data, ANSWER_TYPE)
        return await self._files.add(
            job.tenant_id,
            f"{job.id}_{which}.jsonl",
            "batch_output",
            media.hash,
            media.bytes,
            key=f"{job.id}-{which}",
        )

    async def _count(self, job: Job, total: int, completed: int, failed: int) -> None:
        latest = (await self._book.read(job.id)).result.get("counts") or {}
        counts = _counts(
            total, latest.get("completed", 0) + completed, latest.get("failed", 0) + failed
        )
        done = (counts["completed"] + counts["failed"]) / max(total, 1)
        await self._book.advance(job.id, done, {"counts": counts})


def parse_lines(content: bytes) -> list[Line]:
    """The requests of a file. Raises MalformedBody that names the line."""
    lines = list(_parsed(content))
    if not lines:
        raise MalformedBody("the file has no requests", "input_file_id")
    if len(lines) > MAX_LINES:
        raise InvalidRequest(f"at most {MAX_LINES} requests in a batch", "input_file_id")
    return lines


def _parsed(content: bytes) -> Iterator[Line]:
    for number, text in enumerate(content.splitlines(), start=1):
        if not text.strip():
            continue
        try:
            line = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            message = f"line {number} is not valid JSON: {error}"
            raise MalformedBody(message, "input_file_id") from error
        if not isinstance(line, dict):
            raise MalformedBody(f"line {number} is not an object", "input_file_id")
        yield line


def _check(lines: list[Line], endpoint: str) -> None:
    """Raises InvalidRequest that names the first line that cannot be a request."""
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        fault = _fault(line, endpoint, seen)
        if fault:
            raise InvalidRequest(f"request {number}: {fault}", "input_file_id")
        seen.add(line["custom_id"])


def _fault(line: Line, endpoint: str, seen: set[str]) -> str | None:
    name, body = line.get("custom_id"), line.get("body")
    if not isinstance(name, str) or not name:
        return "'custom_id' must be a text"
    if name in seen:
        return f"'custom_id' {name[:100]!r} is there twice"
    if line.get("method") != "POST":
        return "'method' must be POST"
    if line.get("url") != endpoint:
        return f"'url' must be {endpoint}, as the batch's endpoint"
    if not isinstance(body, dict):
        return "'body' must be an object"
    return "'stream' cannot be true in a batch" if body.get("stream") else None


def _counts(total: int, completed: int, failed: int) -> dict[str, int]:
    return {"total": total, "completed": completed, "failed": failed}


def _response(request_id: str, status: int, body: Any) -> Line:
    return {"status_code": status, "request_id": request_id, "body": body}


def _entry(job: Job, number: int, line: Line, response: Line) -> Line:
    return {
        "id": f"batch_req_{job.id.removeprefix('batch_')}_{number}",
        "custom_id": line["custom_id"],
        "response": response,
        "error": None,
    }
