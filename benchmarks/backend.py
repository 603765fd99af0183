"""A model server that does no work: `python -m benchmarks.backend PORT`.

Place in the path: behind the peer gateway, where Carillon has its echo deployment. It answers chat
completions with the last message, in OpenAI's wire format. It is a bare asyncio protocol and sends
a stream's first event alone and the rest at once, so that as little as possible of the peer's
time is spent here. It checks nothing.
"""

import asyncio
import json
import sys
import time
from typing import cast

import uvloop

HEAD_END = b"\r\n\r\n"
CHUNKED_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


class Backend(asyncio.Protocol):
    """One connection: requests in order, without pipelining."""

    def __init__(self) -> None:
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the interface but not the base class.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(HEAD_END)
        if head_end < 0:
            return
        body_at = head_end + len(HEAD_END)
        body_end = body_at + _content_length(bytes(self._received[:head_end]))
        if len(self._received) < body_end:
            return
        body = bytes(self._received[body_at:body_end])
        self._received.clear()
        self._transport.write(answer(body) if body else _whole({"object": "list", "data": []}))


def answer(body: bytes) -> bytes:
    """The whole response to a chat completion request."""
    request = json.loads(body)
    text = request["messages"][-1]["content"]
    envelope = {"id": "chatcmpl-0", "created": int(time.time()), "model": request["model"]}
    if request.get("stream"):
        return CHUNKED_HEAD + _stream(envelope | {"object": "chat.completion.chunk"}, text.split())
    message = {"role": "assistant", "content": text}
    words = len(text.split())
    return _whole(
        envelope
        | {
            "object": "chat.completion",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {
                "prompt_tokens": words,
                "completion_tokens": words,
                "total_tokens": 2 * words,
            },
        }
    )


def _stream(envelope: dict[str, object], words: list[str]) -> bytes:
    deltas = [{"content": " " + word} for word in words]
    deltas[0] = {"role": "assistant", "content": words[0]}
    events = [_event(envelope, delta, None) for delta in deltas]
    events.append(_event(envelope, {}, "stop"))
    rest = b"".join(events[1:]) + b"data: [DONE]\n\n"
    return _chunk(events[0]) + _chunk(rest) + b"0\r\n\r\n"


def _event(envelope: dict[str, object], delta: dict[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps(envelope | {"choices": [choice]}).encode() + b"\n\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _whole(document: dict[str, object]) -> bytes:
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return head.encode() + HEAD_END + body


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def serve(port: int) -> None:
    """Answer on 127.0.0.1:`port` until ended."""
    server = await asyncio.get_running_loop().create_server(Backend, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
