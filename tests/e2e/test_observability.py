"""What operators look at: health, status, metrics, logs, the OpenAPI document."""

import asyncio
import contextlib
import json
import secrets

import httpx
import psutil
import pytest

from cli.housekeeping import NICENESS
from tests.e2e.cluster import GATEWAY_TITLE, configuration
from tests.e2e.faulty_echo import FATAL
from tests.e2e.test_chat import settled

CHAT = "/v1/chat/completions"


def _may_sleep(application):
    scaling = application["deployments"][0].get("autoscaling_config") or {}
    return scaling.get("min_replicas") == 0


async def test_health_needs_no_key_and_names_every_part(cluster, tmp_path):
    async with httpx.AsyncClient(base_url=cluster.base_url) as client:
        health = (await client.get("/health")).json()
    assert health["status"] == "healthy"
    applications = {a["name"]: a for a in configuration(0, tmp_path)["applications"]}
    models = applications.keys() - {"gateway", "ledger", "jobs"}
    files = {"plans.yaml", "prices.yaml"}
    assert health["services"].keys() == {"postgresql", "valkey", *files, *models}
    asleep = {name for name, state in health["services"].items() if state == "asleep"}
    assert all(_may_sleep(applications[name]) for name in asleep), "the others are always warm"
    others = {state for name, state in health["services"].items() if name not in asleep}
    assert others == {"healthy"}


async def test_status_tells_operators_about_every_application(operator):
    async with operator.http() as client:
        status = (await client.get("/status")).json()
    assert status["applications"]["gateway"]["running_replicas"] >= 1
    assert status["applications"]["starter-chat"]["status"] == "RUNNING"
    assert status["ledger"]["events"] >= 0


async def test_status_is_not_for_strangers(cluster):
    async with httpx.AsyncClient(base_url=cluster.base_url) as client:
        assert (await client.get("/status")).status_code == 401


async def test_one_line_a_request_with_the_id_that_the_caller_saw(cluster, pro):
    async with pro.http() as client:
        body = {"model": "echo", "messages": [{"role": "user", "content": "log me"}]}
        answer = await client.post(
            "/v1/chat/completions", json=body, headers={"x-request-id": "trace-me-42"}
        )
    assert answer.headers["x-request-id"] == "trace-me-42"
    lines = await log_lines(cluster, "trace-me-42")
    (line,) = lines
    assert answer.json()["id"] == f"chatcmpl-{line['request_id']}"
    assert (line["model"], line["status"], line["cache"]) == ("echo", 200, "MISS")
    rows = await cluster.rows(
        "SELECT details->>'trace_id' AS trace FROM usage_records WHERE request_id = $1",
        line["request_id"],
    )
    assert rows == [{"trace": "trace-me-42"}]


async def log_lines(cluster, text):
    for _ in range(60):
        found = [
            json.loads(line)
            for log in (cluster.state / "logs").glob("access-*.jsonl")
            for line in log.read_text().splitlines()
            if text in line
        ]
        if found:
            await asyncio.sleep(1)  # the ledger's row follows
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"no access log line with {text}")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_model_that_breaks_is_logged_with_the_request_and_without_its_words(
    cluster, pro, stream
):
    said = f"private-{secrets.token_hex(8)}"
    message = {"role": "user", "content": f"{said} is {FATAL} said"}
    body = {"model": "echo-slow", "messages": [message], "stream": stream}
    async with pro.http() as client:
        with contextlib.suppress(httpx.RemoteProtocolError):  # a stream that breaks is cut
            answer = await client.post(CHAT, json=body)
            assert not stream
            assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    (row,) = await settled(pro, 1)
    assert (row["status_code"], row["output_tokens"]) == (500, 2 if stream else 0)
    await log_lines(cluster, row["request_id"])
    for log in cluster.logs():
        with contextlib.suppress(FileNotFoundError):  # some are written anew all the time
            assert said not in log.read_text(errors="replace"), log
    (line,) = [
        document
        for log in cluster.logs()
        if log.name.startswith("replica_echo-slow")
        for document in map(json.loads, log.read_text().splitlines())
        if document.get("carillon_request_id") == row["request_id"]
    ]
    assert line["levelname"] == "ERROR"
    assert "faulty_echo.py" in line["exc_text"], "where it broke"
    assert line["exc_text"].endswith("builtins.KeyError\n")


async def test_metrics_reach_prometheus(cluster, pro):
    async with pro.http() as client:
        for _ in range(2):
            body = {"model": "echo", "messages": [{"role": "user", "content": "count"}]}
            await client.post("/v1/chat/completions", json=body)
    wanted = {
        "carillon_requests",
        "carillon_tokens",
        "carillon_admissions",
        "carillon_cache",
        "carillon_response_time_ms_bucket",
        "carillon_ledger_lag_events",
    }
    for _ in range(60):
        text = await scrape(cluster)
        if all(name in text for name in wanted):
            return
        await asyncio.sleep(1)
    raise AssertionError({name for name in wanted if name not in text})


async def scrape(cluster):
    """Every target that Ray's service discovery names, as Prometheus would."""
    headers = {"authorization": f"Bearer {cluster.token_file.read_text().strip()}"}
    async with httpx.AsyncClient(headers=headers, timeout=20) as client:
        groups = (await client.get(f"{cluster.dashboard_url}/api/prometheus/sd")).json()
        texts = []
        for target in {target for group in groups for target in group["targets"]}:
            try:
                texts.append((await client.get(f"http://{target}/metrics")).text)
            except httpx.HTTPError:
                continue
    return "\n".join(texts)


async def test_control_ports_want_the_token(cluster):
    async with httpx.AsyncClient(base_url=cluster.dashboard_url) as client:
        assert (await client.get("/api/serve/applications/")).status_code in (401, 403)
        deploy = await client.put("/api/serve/applications/", json={"applications": []})
        assert deploy.status_code in (401, 403)


def test_replicas_do_not_step_back_for_everything_else(cluster):
    """Ray starts its workers at the lowest priority but four, where each waking waits."""
    niceness = {psutil.Process(pid).nice() for pid in cluster.pids(GATEWAY_TITLE)}
    assert niceness == {psutil.Process().nice()}


def test_what_keeps_house_steps_back_for_replicas(cluster):
    """Whose wakings would else take turns from an engine on a machine of few cores."""
    niceness = {psutil.Process(pid).nice() for pid in cluster.pids("ray::ServeController")}
    assert niceness == {NICENESS}
