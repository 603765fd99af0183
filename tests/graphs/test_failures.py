"""Failures of calls in a replica's log: the request's id, where it was, and not what was said."""

import asyncio
import io
import json
import logging
import pickle

import pytest
from ray._common.formatters import JSONFormatter

from core.model import CallContext
from graphs.failures import call_of, named
from graphs.model import ModelArgs, Replica

SAID = "my secret diagnosis"
ASKED = {"messages": [{"role": "user", "content": SAID}]}
serve_logger = logging.getLogger("ray.serve")


@pytest.fixture
def lines():
    """What Serve's logger writes, one document a line, as Serve formats it."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(JSONFormatter())
    serve_logger.addHandler(handler)
    yield lambda: [json.loads(line) for line in text.getvalue().splitlines()]
    serve_logger.removeHandler(handler)


@pytest.fixture
def replica(monkeypatch):
    replica = Replica(ModelArgs(spec="deployments.echo:SPEC"))

    async def breaks(request, call):
        try:
            raise KeyError(request.messages[-1].content)
        except KeyError as error:
            both = [error, OSError(SAID)]
            raise ExceptionGroup(SAID, both) from ValueError(repr(request))

    async def breaks_later(request, call):
        async for chunk in whole(request, call):
            yield chunk
            await breaks(request, call)

    whole = replica.model.chat_stream
    monkeypatch.setattr(replica.model, "chat", breaks)
    monkeypatch.setattr(replica.model, "chat_stream", breaks_later)
    return replica


async def served(replica, request_id, stream=False, request=ASKED):
    """Call as Serve does, which logs whatever is raised."""
    context = CallContext(request_id)
    try:
        if stream:
            async for _ in replica.stream("chat", request, context):
                pass
        else:
            await replica.answer("chat", request, context)
    except Exception as error:
        serve_logger.exception("Request failed.")
        return error


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_has_its_requests_id_and_not_its_words(replica, lines, stream):
    await served(replica, "r1", stream)
    (line,) = lines()
    assert (line["levelname"], line["carillon_request_id"]) == ("ERROR", "r1")
    for kind in ("KeyError", "OSError", "ValueError", "ExceptionGroup"):
        assert f"builtins.{kind}" in line["exc_text"]
    assert "in breaks\n" in line["exc_text"]
    assert SAID not in json.dumps(line)


async def test_who_shares_an_error_is_named_by_the_own_call(replica, lines, monkeypatch):
    shared = RuntimeError(SAID)

    async def batched(request, call):
        await asyncio.sleep(0)
        raise shared

    monkeypatch.setattr(replica.model, "chat", batched)
    await asyncio.gather(*(served(replica, f"r{number}") for number in range(3)))
    assert {line["carillon_request_id"] for line in lines()} == {"r0", "r1", "r2"}


async def test_an_error_says_in_the_gateway_which_call_it_was_of(replica, lines):
    error = await served(replica, "r1")
    serve_logger.error("unhandled", exc_info=pickle.loads(pickle.dumps(error)))
    assert [line["carillon_request_id"] for line in lines()] == ["r1", "r1"]
    assert SAID not in json.dumps(lines())


async def test_a_request_that_a_handle_sends_amiss_is_not_quoted(replica, lines):
    error = await served(replica, "r1", request={"messages": SAID})
    assert SAID in str(error), "pydantic quotes what it refuses"
    (line,) = lines()
    assert line["carillon_request_id"] == "r1"
    assert SAID not in json.dumps(line)


def test_other_lines_stay_as_they_are(replica, lines):
    serve_logger.error("disk", exc_info=OSError("no space left"))
    (line,) = lines()
    assert "no space left" in line["exc_text"]
    assert "carillon_request_id" not in line


def test_only_named_errors_tell_of_a_call():
    assert call_of(named(KeyError(), "r1")) == {"carillon_request_id": "r1"}
    assert call_of(KeyError()) == call_of(None) == {}
