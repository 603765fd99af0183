"""A graph of three steps, for the benchmark: one after the other, or at the same time.

Place in the path: deployed beside the cluster's own applications while its rows are measured. Its
steps are echoes, so that what it takes is what composing takes.
"""

from pydantic import BaseModel, ConfigDict

from core.chat import ChatRequest
from core.model import CallContext, Frozen, ModelCard, ModelSpec, Operation, Reply
from core.work import WorkUnits
from graphs.branches import together
from graphs.step import Step

STEPS = 3


class ThreeRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str
    model: str | None = None


class ThreeSettings(Frozen):
    model: str
    """Id of the model that all steps call."""


class ThreeSteps:
    """One model, asked three times."""

    def __init__(self, settings: ThreeSettings) -> None:
        self.step = Step(settings.model)

    async def in_turn(self, request: ThreeRequest, call: CallContext) -> Reply:
        for _ in range(STEPS):
            reply = await self.step.answer("chat", chat(request.text), call)
        return Reply(reply.body, call.done)

    async def at_once(self, request: ThreeRequest, call: CallContext) -> Reply:
        replies = await together(
            [self.step.answer("chat", chat(request.text), call) for _ in range(STEPS)]
        )
        return Reply(replies[-1].body, call.done)


def chat(text: str) -> ChatRequest:
    """What each step asks."""
    return ChatRequest.model_validate({"messages": [{"role": "user", "content": text}]})


def _estimate(request: ThreeRequest, card: ModelCard) -> WorkUnits:
    del card
    words = STEPS * len(request.text.split())
    return WorkUnits(input_tokens=words, output_tokens=words)


SPEC = ModelSpec(
    family="three-steps",
    model=ThreeSteps,
    settings=ThreeSettings,
    operations={
        name: Operation(method=name, request=ThreeRequest, estimate=_estimate)
        for name in ("in_turn", "at_once")
    },
    options={"max_ongoing_requests": 64},
)
