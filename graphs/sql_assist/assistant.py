"""The four actions: what is asked of the model, what is done by code, and in which order.

Place in the path: behind `graphs.sql`, which speaks the model contract. Checks, plans, explanations
and improvements are code; the model writes and rewrites, and each of its texts is checked. An
answer says what is wrong with its SQL; a call fails only when it could not be made.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import orjson

from core.chat import ChatRequest
from core.errors import CarillonError, InvalidRequest
from core.model import CallContext
from core.sql import DEFAULT_ANSWER_TOKENS, SqlRequest
from graphs.sql_assist import prompts
from graphs.sql_assist.advice import Suggestion, advise
from graphs.sql_assist.check import Checked, check
from graphs.sql_assist.english import explain
from graphs.sql_assist.faults import Fault
from graphs.sql_assist.improve import improve
from graphs.sql_assist.planner import plan
from graphs.sql_assist.repair import progress, repair
from graphs.sql_assist.schema_text import read_schema
from graphs.sql_assist.settings import SqlSettings
from graphs.sql_assist.statement import NO_STATEMENT, read, translated
from graphs.sql_assist.summary import holds
from graphs.sql_assist.tables import Tables
from graphs.step import Step

CUT_OFF = "cut_off"
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class Outcome:
    """What an action came to."""

    checked: Checked
    repaired: bool = False
    changes: list[str] = field(default_factory=list)
    suggestions: list[Suggestion] = field(default_factory=list)
    summary: str | None = None


class Assistant:
    """The actions, over one chat model."""

    def __init__(self, chat: Step, settings: SqlSettings) -> None:
        self._chat = chat
        self._settings = settings

    async def assist(self, request: SqlRequest, call: CallContext) -> dict[str, Any]:
        """The answer's document. Raises InvalidRequest for a schema that cannot be read."""
        tables = await _aside(read_schema, request.schema_, request.dialect)
        act = getattr(self, f"_{request.action}")
        outcome: Outcome = await act(request, tables, call)
        return await _aside(_document, outcome, request, tables)

    async def _generate(self, request: SqlRequest, tables: Tables, call: CallContext) -> Outcome:
        """The model writes; what is wrong goes back to it once."""
        messages = prompts.question(
            self._system(request), request.query.strip(), self._schema(request, tables)
        )
        first = await self._written(messages, request, tables, call)
        if first.valid:
            return Outcome(first)
        retry = prompts.again(messages, first.statements.text, first.faults)
        second = await self._written(retry, request, tables, call)
        return Outcome(max(second, first, key=progress), repaired=second.valid)

    async def _explain(self, request: SqlRequest, tables: Tables, call: CallContext) -> Outcome:
        checked = await _aside(check, request.query, request.dialect, tables)
        outcome = Outcome(checked)
        if len(checked.statements.trees) == 1 and self._settings.summaries:
            outcome.summary = await self._summary(checked, tables, call)
        return outcome

    async def _optimize(self, request: SqlRequest, tables: Tables, call: CallContext) -> Outcome:
        """By rules alone: a model's word would have to be proved."""
        del call
        checked = await _aside(check, request.query, request.dialect, tables)
        return Outcome(checked) if not checked.valid else await _aside(_improved, checked, tables)

    async def _fix(self, request: SqlRequest, tables: Tables, call: CallContext) -> Outcome:
        """By the usual cures first; what they leave goes to the model, and once more."""
        checked = await _aside(check, request.query, request.dialect, tables)
        if checked.valid and not checked.doubts:
            return Outcome(checked)
        cured = await _aside(repair, request.query, request.dialect, tables)
        if cured.checked.valid:
            return Outcome(cured.checked, repaired=bool(cured.done), changes=cured.done)
        messages = prompts.broken(
            self._system(request), request.query, checked.faults, self._schema(request, tables)
        )
        found = checked
        try:
            found = await self._written(messages, request, tables, call)
            if not found.valid:
                messages = prompts.again(messages, found.statements.text, found.faults)
                found = await self._written(messages, request, tables, call)
        except InvalidRequest as error:  # longer than the model reads
            cured.checked.warnings.append(f"the chat model was of no help: {error.message}")
        if found.valid:
            return Outcome(found, repaired=True, changes=["rewritten by the chat model"])
        return Outcome(max(cured.checked, checked, key=progress), changes=cured.done)

    async def _written(
        self, messages: prompts.Messages, request: SqlRequest, tables: Tables, call: CallContext
    ) -> Checked:
        """What the model answers, checked in the dialect that was asked for."""
        text, is_whole = await self._ask(messages, request, call)
        checked = await _aside(self._checked, prompts.sql_in(text), request, tables)
        if not is_whole:
            checked.faults.append(Fault(CUT_OFF, "the model's answer was cut off at its limit"))
        return checked

    def _checked(self, text: str, request: SqlRequest, tables: Tables) -> Checked:
        writes = request.writes or request.action == "fix"
        several = request.writes and request.action == "generate"
        spoken = self._settings.writes or request.dialect
        lost: list[str] = []
        if spoken != request.dialect:
            statements = read(text, spoken)
            if statements.faults:
                return Checked(statements, statements.faults)
            pairs = [translated(tree, request.dialect) for tree in statements.trees]
            text = ";\n".join(sql for sql, _ in pairs)
            lost = [each for _, losses in pairs for each in losses]
        checked = check(text, request.dialect, tables, writes=writes, several=several)
        checked.warnings += lost
        return checked

    async def _summary(self, checked: Checked, tables: Tables, call: CallContext) -> str | None:
        """The model's sentence, if it holds. Without the model there is none."""
        try:
            asked = prompts.to_explain(checked.statements.text.strip())
            said, is_whole = await self._ask(asked, None, call)
        except CarillonError as error:
            checked.warnings.append(f"the chat model gave no summary: {error.message}")
            return None
        return said.strip() if is_whole and holds(said, checked.tree, tables) else None

    async def _ask(
        self, messages: prompts.Messages, request: SqlRequest | None, call: CallContext
    ) -> tuple[str, bool]:
        """The model's text, and whether it is whole.

        Args:
            request: None for an answer in words.
        """
        rounds = request.rounds if request else 1
        forced = request is not None and self._settings.forced_json
        asked = ChatRequest.model_validate(
            {
                "messages": messages,
                "temperature": 0,
                "max_tokens": call.reserved.output_tokens // rounds or DEFAULT_ANSWER_TOKENS,
            }
            | ({"response_format": prompts.RESPONSE} if forced else {})
        )
        reply = await self._chat.answer("chat", asked, call)
        choice = orjson.loads(reply.body)["choices"][0]
        return choice["message"].get("content") or "", choice.get("finish_reason") != "length"

    def _system(self, request: SqlRequest) -> str:
        spoken = self._settings.writes or request.dialect
        return prompts.instructions(self._settings.instructions, spoken)

    def _schema(self, request: SqlRequest, tables: Tables) -> str:
        settings = self._settings
        return prompts.schema_text(
            tables, request.query, settings.schema_form, settings.schema_characters
        )


async def _aside(work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Beside the event loop: large statements take a while."""
    return await asyncio.to_thread(work, *given, **named)


def _improved(checked: Checked, tables: Tables) -> Outcome:
    dialect = checked.statements.dialect
    better = improve(checked.tree, dialect, tables)
    statements = read(better.tree.sql(dialect, comments=False), dialect)
    warnings = checked.warnings + better.warnings
    planned = plan(better.tree, tables) if tables else checked.plan
    return Outcome(
        Checked(statements, list(statements.faults), warnings, plan=planned),
        changes=better.done,
        suggestions=advise(better.tree, dialect, tables),
    )


def _document(outcome: Outcome, request: SqlRequest, tables: Tables) -> dict[str, Any]:
    checked = outcome.checked
    trees = checked.statements.trees
    steps = [step for tree in trees for step in explain(tree, request.dialect, tables)]
    return {
        "action": request.action,
        "dialect": request.dialect,
        "sql": _sql(checked),
        "valid": checked.valid,
        "repaired": outcome.repaired,
        "changes": outcome.changes,
        "explanation": steps,
        "summary": outcome.summary,
        "errors": [fault.document() for fault in checked.faults],
        "warnings": list(dict.fromkeys(checked.warnings)),
        "suggestions": [each.document() for each in outcome.suggestions],
        "plan": checked.plan.document(),
    }


def _sql(checked: Checked) -> str | None:
    """As it was checked; the text itself where it cannot be read; None where it is no SQL."""
    if checked.statements.trees:
        return checked.statements.sql()
    is_prose = any(fault.code == NO_STATEMENT for fault in checked.faults)
    return None if is_prose or not checked.statements.text else checked.statements.text
