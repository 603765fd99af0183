"""What one turn of the event loop writes leaves together."""

import asyncio
import socket
from typing import Any

import pytest
import uvicorn

from graphs.gathered_writes import GatheringTransport, gather_writes


class Recorder(asyncio.Transport):
    """Stands for the socket's transport."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> str:
        return f"extra {name}"


async def test_writes_of_one_turn_leave_together_in_order():
    real = Recorder()
    transport = GatheringTransport(real)
    transport.write(b"head ")
    transport.write(b"body")
    assert real.writes == []
    await asyncio.sleep(0)
    assert real.writes == [b"head body"]
    transport.write(b"next")
    await asyncio.sleep(0)
    assert real.writes == [b"head body", b"next"]


async def test_closing_sends_what_was_written():
    real = Recorder()
    transport = GatheringTransport(real)
    transport.write(b"last words")
    transport.close()
    assert (real.writes, real.closed) == ([b"last words"], True)
    await asyncio.sleep(0)
    assert real.writes == [b"last words"]


async def test_nothing_is_written_to_a_transport_that_was_aborted():
    real = Recorder()
    transport = GatheringTransport(real)
    transport.write(b"too late")
    real.closed = True
    await asyncio.sleep(0)
    assert real.writes == []


async def test_all_else_is_the_real_transport():
    assert GatheringTransport(Recorder()).get_extra_info("peername") == "extra peername"


async def answer(_: Any, __: Any, send: Any) -> None:
    """An ASGI application: head, one piece, a pause, another."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"one", "more_body": True})
    await asyncio.sleep(0.2)
    await send({"type": "http.response.body", "body": b"two", "more_body": False})


async def test_a_server_of_uvicorn_sends_the_head_with_the_first_piece_at_once(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setitem(uvicorn.config.HTTP_PROTOCOLS, "auto", "uvicorn:unused")
    gather_writes()
    config = uvicorn.Config(answer, log_level="error", lifespan="off", access_log=False)
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve([listening]))
    try:
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        first = await asyncio.wait_for(reader.read(65_536), 5)
        assert first.endswith(b"\r\n\r\n3\r\none\r\n")
        assert await reader.read() == b"3\r\ntwo\r\n0\r\n\r\n"
        writer.close()
    finally:
        server.should_exit = True
        await serving
