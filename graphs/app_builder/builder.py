"""The app builder as a model: a description in, checked files and a page out.

Place in the path: step 4; the gateway admits its call as a whole. It plans (by rules, or a chat
model), writes (from templates, or a chat model) and checks; it keeps nothing. Who asks, and where
files are kept, is `ingress.apps`'s business.
"""

import asyncio
from typing import Any, Literal, Self

import orjson
from pydantic import Field, model_validator

from core.apps import (
    AppRequest,
    ComponentRequest,
    Dialect,
    ReviewRequest,
    estimate_app,
    estimate_component,
    estimate_review,
)
from core.errors import CarillonError
from core.model import CallContext, Frozen, ModelSpec, Operation, Reply
from core.work import WorkUnits
from graphs.app_builder.author import Author
from graphs.app_builder.page import static_page
from graphs.app_builder.plan import Plan
from graphs.app_builder.project import Files, app_files, component_files
from graphs.app_builder.review import MOST_FINDINGS, ORDER, Finding, is_known, review
from graphs.app_builder.rules import Reading, component_name, read_app, read_component
from graphs.app_builder.schema import schema
from graphs.app_builder.syntax import syntax_faults
from graphs.app_builder.tree import tree_faults
from graphs.step import Step

MOST_FAULTS_TOLD = 5
SCHEMA_PATH = "database/schema.sql"


class AppBuilderSettings(Frozen):
    """`engine` settings of an app builder."""

    name: str = "app-builder"
    """Name that answers carry."""
    chat: str | None = None
    """Model to ask, for the parts that are `model`; its card needs `max_output_tokens` then."""
    planner: Literal["rules", "model"] = "rules"
    """Who reads a description."""
    writer: Literal["templates", "model"] = "templates"
    """Who writes the files."""
    reviewer: Literal["rules", "model"] = "rules"
    """Who reviews: rules alone, or rules and what the model says of the code."""
    max_output_tokens: int = Field(8192, ge=64)
    """The most of one answer of the chat model."""

    @model_validator(mode="after")
    def _somebody_to_ask(self) -> Self:
        if self.chat is None and "model" in (self.planner, self.writer, self.reviewer):
            raise ValueError("'chat' must name a model where one plans, writes or reviews")
        return self


class AppBuilder:
    """Builds components and apps, reviews code."""

    def __init__(self, settings: AppBuilderSettings) -> None:
        self.settings = settings
        step = None if settings.chat is None else Step(settings.chat)
        self.author = None if step is None else Author(step, settings.max_output_tokens)

    async def component(self, request: ComponentRequest, call: CallContext) -> Reply:
        """One component, in a project that shows it."""
        reading, planner = await self._planned(request.description, call, is_component=True)
        name = request.name or component_name(reading.plan)
        made = await asyncio.to_thread(
            component_files, reading.plan, request.framework, name, request.description
        )
        facts = {"kind": "component", "name": name, "framework": request.framework}
        end = {"react": "jsx", "vue": "vue"}[request.framework]
        facts["main"] = f"src/components/{name}.{end}"
        return await self._answer(request, call, reading, planner, made, facts, "postgresql")

    async def app(self, request: AppRequest, call: CallContext) -> Reply:
        """A whole app: its files, and a schema for its database."""
        reading, planner = await self._planned(request.description, call, name=request.name)
        made = await asyncio.to_thread(
            app_files, reading.plan, request.framework, request.description
        )
        made[SCHEMA_PATH] = schema(reading.plan, request.database)
        facts = {"kind": "app", "name": reading.plan.title, "framework": request.framework}
        facts["main"] = {"react": "src/App.jsx", "vue": "src/App.vue"}[request.framework]
        return await self._answer(request, call, reading, planner, made, facts, request.database)

    async def review(self, request: ReviewRequest, call: CallContext) -> Reply:
        """Findings, the worst first."""
        files = {file.path: file.content for file in request.files}
        found = await asyncio.to_thread(review, files)
        call.done += WorkUnits(rows=len(files))
        words = None
        if self.author is not None and self.settings.reviewer == "model":
            words = await self.author.comments(files, found, call)
        body = {
            "object": "app.review",
            "model": self.settings.name,
            "reviewer": "rules" if words is None else "rules+model",
            "summary": _summary(found, len(files)),
            "counts": {s.value: sum(f.severity is s for f in found) for s in ORDER},
            "findings": [_finding(each) for each in found[:MOST_FINDINGS]],
            "truncated": len(found) > MOST_FINDINGS,
            "unknown": [path for path in files if not is_known(path)],
            "comments": words,
            "usage": _usage(call.done),
        }
        return Reply(orjson.dumps(body), call.done)

    async def _planned(
        self,
        description: str,
        call: CallContext,
        *,
        is_component: bool = False,
        name: str | None = None,
    ) -> tuple[Reading, str]:
        """The plan, and who made it: rules, where a model's plan cannot be used."""
        faults: list[str] = []
        if self.author is not None and self.settings.planner == "model":
            plan, faults = await self.author.plan(description, call, is_component=is_component)
            if plan is not None:
                plan = plan if name is None else plan.model_copy(update={"title": name})
                return Reading(plan), "model"
        read = read_component(description) if is_component else read_app(description, name)
        notes = (*_blamed("plan", faults), *read.notes)
        return Reading(read.plan, notes), "rules"

    async def _written(
        self,
        plan: Plan,
        request: ComponentRequest | AppRequest,
        dialect: Dialect,
        call: CallContext,
    ) -> tuple[Files | None, list[str]]:
        """A chat model's files, where one writes."""
        if self.author is None or self.settings.writer != "model":
            return None, []
        return await self.author.files(plan, request.framework, dialect, call)

    async def _answer(
        self,
        request: ComponentRequest | AppRequest,
        call: CallContext,
        reading: Reading,
        planner: str,
        made: Files,
        facts: dict[str, Any],
        dialect: Dialect,
    ) -> Reply:
        """Files that were checked, whoever wrote them, and the page of the plan."""
        written, faults = await self._written(reading.plan, request, dialect, call)
        notes = [*reading.notes, *_blamed("files", faults)]
        if written is not None:
            notes.append("the preview shows the plan; the files are the model's own")
            facts = facts | {"main": _main_of(written, facts["main"])}
        files = made if written is None else written
        await asyncio.to_thread(_require_whole, files, dialect)
        page = static_page(reading.plan, is_component=facts["kind"] == "component")
        call.done += WorkUnits(rows=len(files))
        body = {
            "object": "app.build",
            "model": self.settings.name,
            **facts,
            "planner": planner,
            "writer": "templates" if written is None else "model",
            "notes": notes,
            "plan": reading.plan.model_dump(mode="json", exclude_defaults=True),
            "files": [{"path": path, "content": files[path]} for path in sorted(files)],
            "page": page,
            "usage": _usage(call.done),
        }
        return Reply(orjson.dumps(body), call.done)


def _require_whole(files: Files, dialect: Dialect) -> None:
    """What is given away parses. Raises CarillonError, naming the place, for what does not."""
    faults = tree_faults(files) or syntax_faults(files, dialect)
    if faults:
        raise CarillonError(f"the files that were made cannot be used: {faults[0]}")


def _blamed(what: str, faults: list[str]) -> list[str]:
    if not faults:
        return []
    told = "; ".join(fault[:200] for fault in faults[:MOST_FAULTS_TOLD])
    told = "".join(each if each.isprintable() else " " for each in told)  # it is kept
    return [f"the chat model's {what} cannot be used, twice: {told}"]


def _main_of(files: Files, usual: str) -> str:
    """The file to look at first."""
    return usual if usual in files else next(iter(sorted(files)))


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "file": finding.path,
        "line": finding.line,
        "column": finding.column,
        "message": finding.message,
    }


def _summary(found: list[Finding], files: int) -> str:
    """One sentence: how many of which severity, in how many files."""
    counts = [(s.value, sum(f.severity is s for f in found)) for s in ORDER]
    told = ", ".join(f"{count} {name}" for name, count in counts if count)
    return f"{told} in {files} file{'s' * (files != 1)}" if told else "nothing was found"


def _usage(done: WorkUnits) -> dict[str, int]:
    return {
        "files": done.rows,
        "prompt_tokens": done.input_tokens,
        "completion_tokens": done.output_tokens,
        "total_tokens": done.tokens,
    }


SPEC = ModelSpec(
    family="apps",
    model=AppBuilder,
    settings=AppBuilderSettings,
    operations={
        "component": Operation(
            method="component", request=ComponentRequest, estimate=estimate_component
        ),
        "app": Operation(method="app", request=AppRequest, estimate=estimate_app),
        "review": Operation(method="review", request=ReviewRequest, estimate=estimate_review),
    },
    options={"max_ongoing_requests": 32, "max_queued_requests": 128},
)
