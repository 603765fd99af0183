"""Calls of batches: each line as if it had come over HTTP, on the key that began the batch.

Place in the path: around it. A line is admitted, cached, settled and in the ledger for itself; the
rules of its route hold (`ingress.route_rules`). Its call has a name, under which it is charged
once, and a long answer, which admission does not remember, is put away before it is charged.
"""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import orjson

from auth.admission import Settlement
from auth.jobs import Job
from auth.principal import Principal
from core.errors import (
    AlreadyCharged,
    CarillonError,
    Conflict,
    LimitReached,
    StoreUnavailable,
    Unavailable,
)
from core.model import Reply
from core.work import WorkUnits
from graphs.batch_answers import BatchAnswers, Written, written
from graphs.batch_journal import Kept, PieceJournal
from graphs.batch_requests import Line
from graphs.patience import Patience, patiently
from ingress.batch_endpoints import OPERATIONS
from ingress.call import Call
from ingress.catalog import Catalog
from ingress.exchange import call_of
from ingress.path import Answer, RequestPath
from ingress.rendering import openai_body
from ingress.route_rules import RouteRules

OK = 200
MOST_AWAY = 6
"""Times that a line's model may stay away, each after many tries, until that is its answer."""


class Settles(Protocol):
    """Ends calls, and remembers answers under their names. See `auth.valkey`."""

    async def settle(self, settlement: Settlement) -> bool: ...
    async def forget_once(self, names: Collection[str]) -> None: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the lines of one piece have in common."""

    job: Job
    principal: Principal
    journal: PieceJournal
    catalog: Catalog


class BatchCalls:
    """Makes them.

    Args:
        longest: bytes of an answer that admission remembers under its call's name.
    """

    def __init__(
        self,
        path: RequestPath,
        rules: RouteRules,
        admission: Settles,
        answers: BatchAnswers,
        longest: int,
    ) -> None:
        self._path = path
        self._rules = rules
        self._admission = admission
        self._answers = answers
        self._longest = longest

    async def make(self, around: Surroundings, number: int, line: Line) -> Written:
        """A line's answer, or its refusal.

        Raises Unavailable: nothing can be said of the line yet; the piece has to be tried again.
        """
        if (kept := around.journal.kept(number)) is not None:
            await self._admission.settle(
                # Charged now, if the process that kept it died before that.
                Settlement(kept.request_id, WorkUnits(**kept.units), OK)
            )
            return _in_its_blob(kept)
        try:
            return await self._answered(around, number, line)
        except StoreUnavailable:
            raise
        except Unavailable as error:
            if await around.journal.was_away(number) < MOST_AWAY:
                raise
            return refused(around.job, number, line, error)
        except CarillonError as error:
            return refused(around.job, number, line, error)

    async def _answered(self, around: Surroundings, number: int, line: Line) -> Written:
        """Make the call; wait for windows that open, and for models and stores that come back."""
        job, principal = around.job, around.principal
        once: str | None = name_of(job, number)
        document = dict(line["body"])
        await self._rules.inline(OPERATIONS[job.request["endpoint"]], document)
        patience = Patience(job)
        while True:
            # A name for each try: what a refused one left behind must not settle the next.
            call = _call(around, number, document, once)
            call.keep = partial(self._keep_long, around, number, line, call)
            try:
                await self._rules.apply(call, principal)
                answer = await self._path.answer(call, job.caller, principal)
            except AlreadyCharged:
                once = None  # its answer is gone: it has to be made again
            except Conflict as error:
                if error.retry_after_s is None:
                    raise  # the model's own
                await patience.after(error)  # a process that is thought dead still makes it
            except (LimitReached, Unavailable) as error:
                await patience.after(error)
            else:
                break
        if (kept := around.journal.kept(number)) is not None:
            return _in_its_blob(kept)
        data = await self._line(around, number, line, call, answer)
        return Written(good=True, size=len(data), data=data)

    async def _keep_long(
        self, around: Surroundings, number: int, line: Line, call: Call, reply: Reply
    ) -> None:
        """Put an answer away that nobody would remember if this process died now."""
        if len(reply.body) <= self._longest:
            return
        answer = Answer(reply.body, reply.media_type)
        data = await self._line(around, number, line, call, answer)
        blob = await self._answers.put(around.job, around.principal, data)
        kept = Kept(blob, len(data), call.request_id, reply.units.nonzero())
        await patiently(around.job, lambda: around.journal.keep(number, kept))

    async def _line(
        self, around: Surroundings, number: int, line: Line, call: Call, answer: Answer
    ) -> bytes:
        job = around.job
        body = await patiently(
            job,
            lambda: self._rules.deliver(call, around.principal, answer, job.request["origin"]),
        )
        return written(job, number, line, call.request_id, OK, orjson.Fragment(body))


def name_of(job: Job, number: int) -> str:
    """What a line's call is charged once under."""
    return f"{job.id}:{number}"


def refused(job: Job, number: int, line: Line, error: CarillonError) -> Written:
    """A line of the errors."""
    data = written(job, number, line, uuid.uuid4().hex, error.status_code, openai_body(error))
    return Written(good=False, size=len(data), data=data)


def _in_its_blob(kept: Kept) -> Written:
    return Written(good=True, size=kept.bytes, blob=kept.blob)


def _call(around: Surroundings, number: int, document: dict[str, Any], once: str | None) -> Call:
    job = around.job
    return call_of(
        around.catalog,
        OPERATIONS[job.request["endpoint"]],
        document,
        tenant=around.principal.tenant_id,
        request_id=uuid.uuid4().hex,
        trace_id=f"{job.id}-{number}",
        endpoint="/v1/batches",
        once=once,
        whole_or_nothing=True,
    )
