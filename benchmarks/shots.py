"""The requests that benchmarks send, ready for the wire.

Bodies are what the OpenAI SDK would send. Every unique request carries its own number, and its
answer must carry it back.
"""

import itertools
import json
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.load import Shot

CHAT_PATH = "/v1/chat/completions"
NO_STORE = ("Cache-Control: no-store",)
STREAM_WORDS = 200
FILLER = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do"
QUESTIONS = (
    "Show the {} newest orders with the customer's name",
    "Which {} products sold best last month?",
    "List users that placed more than {} orders",
    "What is the average price of orders above {} euros?",
    "Count the tickets that were closed within {} days",
)


def wire(key: str, document: dict[str, Any], headers: tuple[str, ...] = ()) -> bytes:
    """A POST of `document` to the chat endpoint."""
    return post(key, CHAT_PATH, json.dumps(document).encode(), headers)


def post(
    key: str,
    path: str,
    body: bytes,
    headers: tuple[str, ...] = (),
    content_type: str = "application/json",
) -> bytes:
    """A POST of `body`."""
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {key}",
        f"Content-Type: {content_type}",
        "Accept: */*",
        f"Content-Length: {len(body)}",
        *headers,
        "",
        "",
    )
    return "\r\n".join(lines).encode() + body


def same(key: str, mark: bytes = b"") -> Iterator[Shot]:
    """One identical request for ever: what a cache answers."""
    text = f"the same words every time {FILLER}"
    shot = Shot(wire(key, _echo(text)), text.encode(), mark)
    return itertools.repeat(shot)


def unique(key: str, headers: tuple[str, ...] = NO_STORE, mark: bytes = b"") -> Iterator[Shot]:
    """A different request each time; the answer must be its own."""
    for word in _words():
        document = _echo(f"{word} {FILLER}")
        yield Shot(wire(key, document, headers), f'{word} {FILLER}"'.encode(), mark)


def streams(key: str, words: int = STREAM_WORDS) -> Iterator[Shot]:
    """Unique requests answered by streams of `words` events.

    Neighbouring words differ: LiteLLM takes a model that repeats one word for broken.
    """
    text = " ".join(f"word{number}" for number in range(1, words))
    for word in _words():
        document = _echo(f"{word} {text}") | {"stream": True}
        yield Shot(wire(key, document, NO_STORE), b"data: [DONE]", streamed=True)


def chats(key: str, model: str, asked: Iterable[str], max_tokens: int) -> list[Shot]:
    """Questions for a language model, answered by streams of `max_tokens`."""
    return [
        Shot(
            wire(key, _chat(model, question, max_tokens), NO_STORE),
            b"data: [DONE]",
            streamed=True,
        )
        for question in asked
    ]


def questions() -> Iterator[str]:
    """Unique from their first words on, so that no prefix cache can help."""
    for number, word in enumerate(_words()):
        yield f"{word}: " + QUESTIONS[number % len(QUESTIONS)].format(10 + number % 90)


def _echo(text: str) -> dict[str, Any]:
    return {"model": "echo", "messages": [{"role": "user", "content": text}]}


def _chat(model: str, question: str, max_tokens: int) -> dict[str, Any]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": max_tokens,
        "temperature": 0,
        "min_tokens": max_tokens,  # of visible text: an end that is ignored is followed by none
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _words() -> Iterator[str]:
    """Words that no other request of any run has."""
    run = uuid.uuid4().hex[:8]
    return (f"{run}-{number}" for number in itertools.count())
