"""`carillon scale` on a running cluster: a model gets replicas and gives them back, and answers
meanwhile.
"""

import asyncio
import itertools
import subprocess

import pytest

from cli.cluster import connect
from tests.e2e.calls import CHAT
from tests.e2e.cluster import GATEWAY_TITLE

pytestmark = pytest.mark.timeout(300)
MODEL = "echo"
SCALED_S = 120.0


def status_line(cluster):
    """What `carillon status` says of the model; its exit status is 1 while anything changes."""
    try:
        lines = cluster.carillon("status").splitlines()
    except subprocess.CalledProcessError:
        return ""
    (line,) = [line for line in lines if line.split()[:1] == [MODEL]]
    return line


async def status_says(cluster, replicas):
    """Wait until `carillon status` says these replicas, and that the model is settled."""
    async with asyncio.timeout(SCALED_S):
        while True:
            words = status_line(cluster).split()
            if words[2:5] == ["HEALTHY", *replicas.split()]:
                return
            await asyncio.sleep(1)


async def replicas(operator):
    """How many the API says that run."""
    async with operator.http() as http:
        metrics = (await http.get("/v1/cluster/metrics")).json()
    (count,) = [m["running_replicas"] for m in metrics["models"] if m["model"] == MODEL]
    return count


async def answers_until(person, operator, count):
    """Call one after the other, each of its own words, until so many replicas run."""
    async with person.http() as http, asyncio.timeout(SCALED_S):
        for number in itertools.count():
            body = {"model": MODEL, "messages": [{"role": "user", "content": f"{count} {number}"}]}
            response = await http.post(CHAT, json=body)
            assert response.status_code == 200, response.text
            assert response.json()["choices"][0]["message"]["content"] == f"{count} {number}"
            if await replicas(operator) == count:
                return
            await asyncio.sleep(0.2)


async def test_a_model_is_scaled_by_the_command_and_answers_meanwhile(cluster, counted, operator):
    before = connect(cluster.state).config()
    gateways = cluster.pids(GATEWAY_TITLE)
    file = cluster.config.read_text()
    try:
        assert f"{MODEL}: 2 replicas" in cluster.carillon("scale", MODEL, "2")
        await answers_until(counted, operator, 2)
        await status_says(cluster, "2 running")
    finally:
        assert f"{MODEL}: 1 replica." in cluster.carillon("scale", MODEL, "1")
    await answers_until(counted, operator, 1)
    await status_says(cluster, "1 running")
    assert cluster.pids(GATEWAY_TITLE) == gateways
    assert cluster.config.read_text() == file
    assert connect(cluster.state).config() == before
