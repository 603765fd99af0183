"""Workflows: what a tenant posts to have several models called, each with what others made.

Place in the path: the type of `/v1/workflows` bodies, read by the gateway, which checks them, and
by the orchestrator, which runs them. It checks shape; what steps name is checked against the
catalog in `ingress.workflow_plan`. It calls nothing.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MOST_STEPS = 200
MOST_CALLS = 1_000
"""Of one run: a step with `map` counts as many times as it may have items."""
MOST_ITEMS = 100
MOST_TRIES = 10
LONGEST_STEP_S = 3_600.0
LONGEST_PAUSE_S = 60.0
"""Between two tries: a run holds its place meanwhile."""
LONGEST_TEXT = 2_000

StepId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
Text = Annotated[str, StringConstraints(max_length=LONGEST_TEXT)]
ShortText = Annotated[str, StringConstraints(max_length=512)]


class Retry(BaseModel):
    """How often a step is tried. What a model refuses as wrong is not tried again."""

    model_config = ConfigDict(extra="forbid")

    attempts: int = Field(1, ge=1, le=MOST_TRIES)
    """In all."""
    delay_s: float = Field(1.0, ge=0, le=LONGEST_PAUSE_S, allow_inf_nan=False)
    """Before the second."""

    def pause_s(self, tries: int) -> float:
        """After so many tries: it doubles each time, up to a minute."""
        return min(self.delay_s * 2.0 ** (tries - 1), LONGEST_PAUSE_S)


class Instead(BaseModel):
    """What stands for the output of a step that failed."""

    model_config = ConfigDict(extra="forbid")

    output: Any


class WorkflowStep(BaseModel):
    """One call of one model, or with `map` one for each item of a list."""

    model_config = ConfigDict(extra="forbid")

    id: StepId
    model: str = Field(max_length=256)
    """A model, or a graph: to its callers a graph is one."""
    operation: str | None = Field(None, max_length=64)
    """The model's first one when not said."""
    input: dict[str, Any] = {}
    """The request, as the operation takes it, with references."""
    after: list[StepId] = Field([], max_length=MOST_STEPS)
    """Steps to wait for besides those that are referred to."""
    condition: Text | None = Field(None, alias="if")
    over: list[Any] | Text | None = Field(None, alias="map")
    """A list, or a reference to one."""
    max_items: int = Field(20, ge=1, le=MOST_ITEMS)
    """Of a `map` whose length is not known beforehand: what is estimated, and the limit."""
    retry: Retry = Retry()
    timeout_s: float = Field(600.0, gt=0, le=LONGEST_STEP_S, allow_inf_nan=False)
    """Of each try."""
    on_failure: Literal["fail", "continue"] | Instead = "fail"

    @property
    def is_mapped(self) -> bool:
        return self.over is not None

    @property
    def calls(self) -> int:
        """How many it makes at most, without retries."""
        if isinstance(self.over, list):
            return len(self.over)
        return self.max_items if self.is_mapped else 1


class Webhook(BaseModel):
    """Whom to tell of a run's end."""

    model_config = ConfigDict(extra="forbid")

    url: Text


class Workflow(BaseModel):
    """POST /v1/workflows and /v1/workflows/runs, as JSON or YAML."""

    model_config = ConfigDict(extra="forbid")

    name: ShortText | None = None
    inputs: dict[str, Any] = Field({}, max_length=100)
    steps: list[WorkflowStep] = Field(min_length=1, max_length=MOST_STEPS)
    outputs: dict[str, Any] | None = Field(None, max_length=100)
    """What the run answers, with references; nothing when not said."""
    webhook: Webhook | None = None
    metadata: dict[ShortText, ShortText] | None = Field(None, max_length=16)

    def written(self) -> dict[str, Any]:
        """As it is kept with its run: the same document, without what is a default."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)
