"""A model that sleeps, from its callers' side: it wakes when called, says how long that takes to
those who do not wait, and sleeps again when nobody calls.

On a cluster of its own, with little besides one such model, which is soon left alone.
"""

import asyncio
import copy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.e2e import cluster as clusters
from tests.e2e.calls import CHAT
from tests.e2e.cluster import Cluster
from tests.e2e.people import Person, newcomer, patiently

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
MODEL = "sleeper"
SERVED = ("gateway", "ledger", "echo")
ENOUGH_S, TOO_SHORT_S = 120.0, 0.2
"""Patience of the gateway: longer than any start of a process, and shorter."""
IDLE_S = 20.0
"""Until the model sleeps; longer than it takes to start, so that no caller need stay for that."""
CHANGED_S = 120.0


def configuration(port: int, state: Path) -> dict[str, Any]:
    """The tests' cluster with `echo`, and an echo that sleeps in place of all other models."""
    document = clusters.configuration(port, state)
    sleeps = _named(document, "starter-image")["deployments"][0]["autoscaling_config"]
    document["applications"] = [_named(document, name) for name in SERVED]
    asleep = copy.deepcopy(_named(document, "echo"))
    asleep["name"] = MODEL
    asleep["args"]["engine"] = {"model": MODEL}
    del asleep["deployments"][0]["num_replicas"]
    asleep["deployments"][0]["autoscaling_config"] = sleeps | {
        "look_back_period_s": 15,
        "downscale_delay_s": IDLE_S,
        "downscale_to_zero_delay_s": IDLE_S,
    }
    document["applications"].append(asleep)
    spec = {"spec": "deployments.echo:SPEC"}
    gateway = _named(document, "gateway")
    gateway["args"]["wake_patience_s"] = ENOUGH_S
    gateway["deployments"][0] |= {
        "num_replicas": 1,
        "user_config": {"models": [{"id": "echo"} | spec, {"id": MODEL, "wake_s": 5} | spec]},
    }
    return document


def _named(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(a for a in document["applications"] if a["name"] == name)
    return found


@pytest.fixture(scope="module")
def quiet() -> Iterator[Cluster]:
    """A running cluster of `configuration`."""
    running = clusters.start(configuration)
    yield running
    clusters.stop(running)
    shutil.rmtree(running.state, ignore_errors=True)


@pytest.fixture
def person(quiet: Cluster) -> Person:
    return newcomer(quiet, "pro")


@pytest.fixture
def watch(quiet: Cluster) -> Person:
    return Person(quiet, "operator", quiet.api_key)


def patience(cluster: Cluster, seconds: float) -> None:
    """Have the gateway let callers wait so long for a model that wakes."""
    document = yaml.safe_load(cluster.config.read_text())
    _named(document, "gateway")["args"]["wake_patience_s"] = seconds
    cluster.config.write_text(yaml.safe_dump(document, sort_keys=False))
    cluster.carillon("deploy", str(cluster.config))


async def until_asleep(operator: Person) -> None:
    """Until the gateway says that the model sleeps; asking wakes nothing."""
    async with asyncio.timeout(CHANGED_S), operator.http() as http:
        while True:
            answer = await http.get("/v1/cluster/metrics")
            if answer.status_code == 200:
                (model,) = [m for m in answer.json()["models"] if m["model"] == MODEL]
                if model["asleep"]:
                    assert model["running_replicas"] == 0
                    return
            await asyncio.sleep(0.5)


async def status_says(cluster: Cluster, replicas: str) -> None:
    """Until `carillon status` says so of the model, behind its name, deployment and status.

    A replica that stops is no longer one that runs, and is still there for a while.
    """
    wanted = replicas.split()
    async with asyncio.timeout(CHANGED_S):
        while True:
            lines = [line.split() for line in cluster.carillon("status").splitlines()]
            (words,) = [words for words in lines if words[:1] == [MODEL]]
            if words[3 : 3 + len(wanted)] == wanted:
                return
            await asyncio.sleep(1)


def asking(text: str) -> dict[str, Any]:
    """Of its own words, so that no answer comes from the cache."""
    return {"json": {"model": MODEL, "messages": [{"role": "user", "content": text}]}}


def said(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text


def loading(answer: httpx.Response) -> dict[str, float]:
    """What a caller is told who did not wait long enough."""
    assert answer.status_code == 503, answer.text
    body = answer.json()
    assert body["error"]["code"] == "model_loading"
    assert 0 <= body["loading"]["progress"] < 1
    assert 1 <= body["loading"]["eta_seconds"] <= int(answer.headers["retry-after"])
    facts: dict[str, float] = body["loading"]
    return facts


async def test_the_first_call_wakes_it_and_is_answered_and_it_sleeps_and_wakes_again(
    quiet, person, watch
):
    patience(quiet, ENOUGH_S)
    async with person.http() as http:
        http.timeout = httpx.Timeout(ENOUGH_S)
        for words in ("good morning", "good morning again"):
            await until_asleep(watch)
            await status_says(quiet, "0")
            assert said(await http.post(CHAT, **asking(words))) == words
            await status_says(quiet, "1 running")


async def test_who_does_not_wait_is_told_how_far_it_is_and_answered_later(quiet, person, watch):
    patience(quiet, TOO_SHORT_S)
    async with person.http() as http:
        for words in ("too early", "too early again"):
            await until_asleep(watch)
            told = loading(await http.post(CHAT, **asking(words)))
            assert told["progress"] < 0.9  # of this load, also where nobody saw the last one end
            await asyncio.sleep(told["eta_seconds"])
            assert said(await patiently(http, "POST", CHAT, **asking(words))) == words
    rows = [row for row in await person.usage_rows() if row["status_code"] == 503]
    assert not any(row["output_tokens"] for row in rows)
