"""What operators look at: health, status, metrics, logs, the OpenAPI document."""

import asyncio
import contextlib
import json
import secrets
import time

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cli.housekeeping import NICENESS
from tests.e2e.cluster import GATEWAY_TITLE, configuration
from tests.e2e.faulty_echo import FATAL
from tests.e2e.people import newcomer
from tests.e2e.test_chat import settled

CHAT = "/v1/chat/completions"
REPORTED_S = 11
"""Within which every process has told its metrics."""


def _may_sleep(application):
    scaling = application["deployments"][0].get("autoscaling_config") or {}
    return scaling.get("min_replicas") == 0


async def test_health_needs_no_key_and_names_every_part(cluster, tmp_path):
    async with httpx.AsyncClient(base_url=cluster.base_url) as client:
        health = (await client.get("/health")).json()
        for _ in range(120):  # a cluster that has just greeted goes on with what it needs later
            if "deploying" not in health["services"].values():
                break
            await asyncio.sleep(1)
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
        answer = await client.post(CHAT, json=body)
    last = answer.text.strip().rpartition("data: ")[2]  # of a stream, whose status was good
    assert answer.status_code == (200 if stream else 500)
    assert json.loads(last)["error"]["code"] == "internal_error"
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


async def test_metrics_say_what_was_asked_for_and_what_became_of_it(cluster):
    watched = newcomer(cluster, "enterprise", {"watch": {"tokens": {"month": 1}}})
    refused = newcomer(cluster, "enterprise", {"tokens": {"month": 1}})
    before = await still(cluster)
    async with watched.http() as client:
        for headers in ({}, {}, {"cache-control": "no-store"}):
            assert (await client.post(CHAT, json=echo("count"), headers=headers)).is_success
        assert (await client.post(CHAT, json=echo("a b c", stream=True))).is_success
    async with refused.http() as client:
        assert (await client.post(CHAT, json=echo("count"))).status_code == 429
    await settled(watched, 4)

    model, month = {"model": "echo"}, {"reason": "tokens/2592000s"}
    wanted = [
        ("requests_total", model | {"endpoint": CHAT, "status": "200"}, 4),
        ("requests_total", model | {"endpoint": CHAT, "status": "429"}, 1),
        ("tokens_total", model | {"kind": "input"}, 1 + 1 + 3),
        ("tokens_total", model | {"kind": "output"}, 1 + 1 + 3),
        ("tokens_total", model | {"kind": "cached"}, 0),
        ("admissions_total", {"verdict": "admitted"}, 3),
        ("admissions_total", {"verdict": "hit"}, 1),
        ("admissions_total", {"verdict": "refused"}, 1),
        ("admissions_total", {"verdict": "refused"} | month, 1),
        ("watched_refusals_total", month, 3),
        ("cache_total", {"verdict": "miss"}, 2),
        ("cache_total", {"verdict": "hit"}, 1),
        ("cache_total", {"verdict": "bypass"}, 1),
        ("time_to_first_token_ms_count_total", model, 1),
        ("time_to_first_token_ms_bucket_total", model | {"le": "+Inf"}, 1),
        ("response_time_ms_count_total", model, 5),
        ("response_time_ms_bucket_total", model | {"le": "+Inf"}, 5),
        ("settlements_lost_total", {}, 0),
    ]
    after, wrong = before, wanted
    for _ in range(60):
        await asyncio.sleep(1)
        after = await scrape(cluster)
        wrong = [
            (name, tags, after.of(name, tags) - before.of(name, tags))
            for name, tags, count in wanted
            if after.of(name, tags) - before.of(name, tags) != count
        ]
        if not wrong and after.of("ledger_lag_events", {}) == 0:
            break
    assert not wrong
    for gauge in ("ledger_lag_events", "ledger_lag_seconds", "ledger_rejected"):
        assert after.has(gauge)
        assert after.of(gauge, {}) == 0, "every row is in PostgreSQL"


def echo(text, **fields):
    """A request for words, of which each is a token in and a token out."""
    return {"model": "echo", "messages": [{"role": "user", "content": text}]} | fields


class Scrape:
    """Carillon's samples in what Prometheus reads, of all processes."""

    def __init__(self, text):
        ours = [line for line in text.splitlines() if line.startswith("ray_carillon_")]
        families = text_string_to_metric_families("\n".join(ours) + "\n")
        self.samples = [sample for family in families for sample in family.samples]

    def of(self, name, tags):
        """The sum over processes, and over tags that are not said."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == f"ray_carillon_{name}" and tags.items() <= sample.labels.items()
        )

    def has(self, name):
        return any(sample.name == f"ray_carillon_{name}" for sample in self.samples)

    def counters(self):
        return {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for sample in self.samples
            if sample.name.endswith("_total")
        }


async def still(cluster):
    """The metrics, once they have told all that was before: processes tell every ten seconds."""
    latest, since = await scrape(cluster), time.monotonic()
    while time.monotonic() - since < REPORTED_S:
        await asyncio.sleep(1)
        previous, latest = latest, await scrape(cluster)
        if latest.counters() != previous.counters():
            since = time.monotonic()
    return latest


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
    return Scrape("\n".join(texts))


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
