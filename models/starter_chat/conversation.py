"""A conversation as the corpus, the trainer and the evaluator see it.

``render`` writes the very text that ``chat_template.jinja`` writes (a test compares the two); it
exists because rendering with Jinja is too slow to train with.
"""

import json
from dataclasses import dataclass, field
from typing import Literal

Role = Literal["system", "user", "assistant", "tool"]
END = "<|end|>"
PAD = "<|pad|>"
ROLE_TOKENS: dict[str, str] = {
    "system": "<|system|>",
    "user": "<|user|>",
    "assistant": "<|assistant|>",
    "tool": "<|tool|>",
}
CALL_TOKENS = ("<tool_call>", "</tool_call>")
Json = dict[str, object]


@dataclass(frozen=True)
class Message:
    """One message. ``learn`` is how much of an answer is a target; a grammar forces the rest."""

    role: Role
    text: str
    learn: tuple[tuple[int, int], ...] | None = None


@dataclass(frozen=True)
class Tool:
    """A tool as the prompt shows it: name, typed parameters, one line of description."""

    name: str
    parameters: tuple[tuple[str, str], ...]
    description: str = ""

    def line(self) -> str:
        typed = ", ".join(f"{name}: {kind}" for name, kind in self.parameters)
        return f"{self.name}({typed})" + (f" - {self.description}" if self.description else "")

    def openai(self) -> Json:
        properties = {name: {"type": kind} for name, kind in self.parameters}
        schema = {"type": "object", "properties": properties, "required": list(properties)}
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.description, "parameters": schema},
        }


@dataclass(frozen=True)
class Conversation:
    """Messages that end with the assistant's answer; ``kind`` names the family for scores."""

    kind: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    held_out: bool = False
    extra: Json = field(default_factory=dict, hash=False, compare=False)

    @property
    def answer(self) -> str:
        return self.messages[-1].text


def call_text(name: str, arguments: Json) -> str:
    """A tool call in Hermes style, as vLLM's ``hermes`` parser reads it."""
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"{CALL_TOKENS[0]}\n{body}\n{CALL_TOKENS[1]}"


def system_text(conversation: Conversation) -> str:
    parts = [m.text for m in conversation.messages if m.role == "system"]
    if conversation.tools:
        parts.append("Tools:\n" + "\n".join(tool.line() for tool in conversation.tools))
    return "\n".join(parts)


def render(conversation: Conversation) -> list[tuple[str, Message | None]]:
    """Pieces of text in order, each with the assistant message it is the body of, if any."""
    pieces: list[tuple[str, Message | None]] = []
    system = system_text(conversation)
    if system:
        pieces.append((ROLE_TOKENS["system"] + system + END, None))
    for message in conversation.messages:
        if message.role == "assistant":
            pieces.append((ROLE_TOKENS["assistant"], None))
            pieces.append((message.text + END, message))
        elif message.role != "system":
            pieces.append((ROLE_TOKENS[message.role] + message.text + END, None))
    return pieces


def prompt_text(conversation: Conversation) -> str:
    """The prompt for the last answer."""
    return "".join(text for text, _ in render(conversation)[:-1])


def openai_messages(conversation: Conversation) -> list[dict[str, str]]:
    """The messages before the last answer, as a client would send them."""
    return [{"role": m.role, "content": m.text} for m in conversation.messages[:-1]]
