"""A step adds what it took to its graph's call, and tells a model's faults as ours."""

import asyncio
from types import SimpleNamespace

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from ray import serve
from ray.serve.exceptions import BackPressureError, RayServeException

from core.errors import (
    BodyTooLarge,
    CarillonError,
    DeadlineExceeded,
    InvalidRequest,
    ModelUnavailable,
    QueueFull,
)
from core.model import CallContext, Chunk, Reply
from core.work import WorkUnits
from graphs.step import Step


class Response:
    def __init__(self, result):
        self.result = result
        self.cancelled = False

    def __await__(self):
        return self._wait().__await__()

    async def _wait(self):
        if isinstance(self.result, Exception):
            raise self.result
        if self.result is None:
            await asyncio.sleep(60)
        return self.result

    def cancel(self):
        self.cancelled = True


class Chunks:
    def __init__(self, chunks):
        self.chunks = iter(chunks)
        self.cancelled = False

    async def __anext__(self):
        try:
            return next(self.chunks)
        except StopIteration:
            raise StopAsyncIteration from None

    def cancel(self):
        self.cancelled = True


class Model:
    """A handle with one answer; remembers what it was asked."""

    def __init__(self, answer):
        self.contexts = []
        self.given = answer
        self.answer = self.stream = SimpleNamespace(remote=self._remote)

    def _remote(self, operation, request, context):
        self.contexts.append(context)
        return self.given

    def options(self, **_):
        return self


@pytest.fixture
def model(monkeypatch):
    def become(answer):
        model = Model(answer)
        monkeypatch.setattr(serve, "get_app_handle", lambda name: model)
        return model

    return become


def words(count):
    return WorkUnits(output_tokens=count)


async def test_what_a_step_took_is_added_to_the_call(model):
    asked = model(Response(Reply(b"{}", words(3), device_s=0.5)))
    call = CallContext("r", "sql", "salt", words(9), done=words(1))
    reply = await Step("chat").answer("chat", {}, call)
    assert (reply.body, call.done, call.device_s) == (b"{}", words(4), 0.5)
    (context,) = asked.contexts
    assert (context.model, context.isolation, context.durable) == ("", "salt", True)


async def test_a_stream_counts_as_it_goes_and_is_cancelled_when_left(model):
    chunks = Chunks(
        [Chunk(b"a", words(1)), Chunk(b"b", words(2)), Chunk(b"c", words(4), last=True)]
    )
    model(chunks)
    call = CallContext("r", done=words(10))
    stream = Step("chat").stream("chat", {}, call)
    assert (await anext(stream)).data == b"a"
    assert (await anext(stream)).data == b"b"
    assert call.done == words(12)
    await stream.aclose()
    assert chunks.cancelled
    assert call.done == words(12)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (BackPressureError(1, 1), QueueFull),
        (RayServeException("gone"), ModelUnavailable),
        (AioRpcError(StatusCode.RESOURCE_EXHAUSTED, Metadata(), Metadata()), BodyTooLarge),
        (AioRpcError(StatusCode.INTERNAL, Metadata(), Metadata()), ModelUnavailable),
        (InvalidRequest("no", "prompt"), InvalidRequest),
        (KeyError("what a caller said"), CarillonError),
    ],
)
async def test_faults_are_told_in_our_words(model, fault, told):
    model(Response(fault))
    with pytest.raises(told):
        await Step("chat").answer("chat", {}, CallContext("r"))


async def test_a_model_that_is_silent_is_told_to_stop(model):
    response = Response(None)
    model(response)
    with pytest.raises(DeadlineExceeded):
        await Step("chat", timeout_s=0.05).answer("chat", {}, CallContext("r"))
    assert response.cancelled
