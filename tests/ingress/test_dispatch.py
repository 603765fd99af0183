"""Dispatch of streams: patience with a silent model, and when its replica is told to stop."""

import asyncio
from contextlib import aclosing

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from ray import serve
from ray.serve.exceptions import RayServeException

from core.errors import (
    BodyTooLarge,
    CarillonError,
    DeadlineExceeded,
    ModelLoading,
    ModelUnavailable,
)
from core.model import CallContext, Chunk, Ended, ModelCard
from core.work import WorkUnits
from ingress.call import Call
from ingress.catalog import Catalog
from ingress.dispatch import ServeDispatcher
from ingress.readiness import ApplicationState, Readiness
from ingress.turns import Turns
from ingress.waking import Waking
from tests.ingress.busy_world import QuietWatch

CONTEXT = CallContext("req-1")
ENDED = Ended(WorkUnits(output_tokens=3))
ECHO = Catalog([ModelCard(id="echo", spec="deployments.echo:SPEC")]).named("echo")


class Response:
    """What a streaming handle returns: chunks, each after its pause, and `cancel`."""

    def __init__(self, pauses):
        self.cancelled = 0
        self._chunks = self._make(pauses)

    async def _make(self, pauses):
        for place, pause in enumerate(pauses, start=1):
            await asyncio.sleep(pause)
            yield Chunk(b"x", last=place == len(pauses))

    def __anext__(self):
        return self._chunks.__anext__()

    def cancel(self):
        self.cancelled += 1

    async def results_async(self, **_):
        """Of three replicas, one is dead and one had the call."""
        return [RuntimeError("dead"), {}, {"req-1": ENDED}]


class Handle:
    def __init__(self, response):
        self.response = response
        self.answer = self.stream = self

    def options(self, **_):
        return self

    def remote(self, *_):
        return self.response

    def broadcast(self, method, request_ids):
        assert (method, request_ids) == ("ended", ["req-1"])
        return self.response


def dispatcher(timeout_s):
    readiness = Readiness()
    turns = Turns(readiness, lambda _: 1, QuietWatch())
    return ServeDispatcher(readiness, Waking(readiness, 1), turns, timeout_s)


@pytest.fixture
def call():
    operation = ECHO.operation("chat")
    request = operation.request.model_validate(
        {"model": "echo", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    )
    return Call("req-1", "req-1", "/v1/chat/completions", ECHO, "chat", operation, request)


@pytest.fixture
def stream(monkeypatch, call):
    def start(pauses, timeout_s):
        response = Response(pauses)
        monkeypatch.setattr(serve, "get_app_handle", lambda _: Handle(response))
        return dispatcher(timeout_s).stream(call, CONTEXT), response

    return start


async def test_all_replicas_are_asked_what_a_call_took_that_ended_unheard(monkeypatch, call):
    monkeypatch.setattr(serve, "get_app_handle", lambda _: Handle(Response([])))
    assert await dispatcher(1).ended(call) == ENDED


async def test_a_model_that_is_gone_knows_nothing_of_a_call(monkeypatch, call):
    def gone(_):
        raise RayServeException("no such application")

    monkeypatch.setattr(serve, "get_app_handle", gone)
    assert await dispatcher(1).ended(call) is None


async def test_a_stream_whose_model_breaks_ends_with_an_error_that_says_no_more(stream):
    chunks, response = stream([0, "no number"], 5)
    assert (await anext(chunks)).data == b"x"
    with pytest.raises(CarillonError, match=r"^the model 'echo' failed$"):
        await anext(chunks)
    assert response.cancelled == 1


async def test_a_stream_that_ended_is_not_cancelled(stream):
    chunks, response = stream([0, 0, 0], 5)
    assert len([chunk async for chunk in chunks]) == 3
    assert response.cancelled == 0


async def test_a_caller_that_goes_away_cancels_what_runs(stream):
    chunks, response = stream([0, 0, 0], 5)
    async with aclosing(chunks):
        await anext(chunks)
    assert response.cancelled == 1


async def test_a_model_that_falls_silent_is_given_up(stream):
    chunks, response = stream([0, 0, 30], 0.1)
    await anext(chunks)
    await anext(chunks)
    with pytest.raises(DeadlineExceeded):
        await anext(chunks)
    assert response.cancelled == 1


async def test_patience_is_for_each_piece_and_not_for_the_caller(stream):
    chunks, response = stream([0.08] * 4, 0.15)
    seen = 0
    async for _ in chunks:
        seen += 1
        await asyncio.sleep(0.2)  # a slow reader is not a slow model
    assert (seen, response.cancelled) == (4, 0)


class Broken(Response):
    """A handle whose message does not arrive."""

    def __init__(self, code):
        super().__init__([])
        self._error = AioRpcError(code, Metadata(), Metadata(), "as gRPC says it")

    def __await__(self):
        raise self._error
        yield

    async def __anext__(self):
        raise self._error


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (StatusCode.RESOURCE_EXHAUSTED, BodyTooLarge),
        (StatusCode.INTERNAL, ModelUnavailable),
    ],
)
async def test_a_message_that_is_too_large_is_told_and_no_bare_500(monkeypatch, call, code, error):
    monkeypatch.setattr(serve, "get_app_handle", lambda _: Handle(Broken(code)))
    with pytest.raises(error, match="'echo'"):
        await dispatcher(1).answer(call, CONTEXT)
    with pytest.raises(error, match="'echo'"):
        await anext(dispatcher(1).stream(call, CONTEXT))


class Asleep(Handle):
    """Serve's queue of a model without replicas: who calls stays until one runs, or leaves."""

    def __init__(self):
        super().__init__(None)
        self.ended = self
        self.waiting = []

    def remote(self, *asked):
        self.waiting.append(asked)
        return Queued(self, asked)


class Queued:
    def __init__(self, queue, asked):
        self._queue, self._asked = queue, asked

    def __await__(self):
        return asyncio.sleep(60).__await__()

    def cancel(self):
        self._queue.waiting.remove(self._asked)


async def test_a_model_wakes_though_all_its_callers_left(monkeypatch, call):
    queue = Asleep()
    monkeypatch.setattr(serve, "get_app_handle", lambda _: queue)
    readiness = Readiness()
    readiness.applications = {"echo": ApplicationState("RUNNING", "", 0, 0.0)}
    turns = Turns(readiness, lambda _: 1, QuietWatch())
    hasty = ServeDispatcher(readiness, Waking(readiness, 0.01), turns, 5)
    for _ in range(3):
        with pytest.raises(ModelLoading):
            await hasty.answer(call, CONTEXT)
    assert queue.waiting == [([],)], "one call without work"
