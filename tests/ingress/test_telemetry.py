"""Telemetry: counts reach Ray's metrics, and a flush never fails for what was counted."""

import json

import pytest
from starlette.websockets import WebSocket

from auth.admission import Admitted, Refused, WindowState
from auth.plans import Meter, Window
from core.work import WorkUnits
from ingress.access_log import AccessLog
from ingress.telemetry import UPPER_BOUNDS, ServeTelemetry
from tests.ingress.test_path import World


class Metric:
    """Ray's counter: it refuses increments that are not positive."""

    made: dict[str, "Metric"] = {}  # noqa: RUF012 - one registry for one test

    def __init__(self, name, **_):
        self.values = {}
        self.made[name] = self

    def set(self, value, tags):
        self.values[tuple(tags.values())] = value

    def inc(self, count, tags):
        if count <= 0:
            raise ValueError(count)
        key = tuple(tags.values())
        self.values[key] = self.values.get(key, 0) + count


@pytest.fixture
def telemetry(monkeypatch, tmp_path):
    monkeypatch.setattr("ray.serve.metrics.Counter", Metric)
    monkeypatch.setattr("ray.serve.metrics.Gauge", Metric)
    Metric.made.clear()
    return ServeTelemetry(AccessLog(tmp_path))


def test_what_happened_is_counted_by_model_status_and_kind(telemetry):
    call = World().call()
    telemetry.admitted(call, Admitted(()))
    telemetry.first_token(call, 12)
    telemetry.finished(call, 200, WorkUnits(input_tokens=3, output_tokens=4))
    telemetry.flush()
    telemetry.flush()
    made = Metric.made
    assert made["carillon_requests"].values == {("/v1/chat/completions", "echo", "200"): 1}
    assert made["carillon_tokens"].values == {("echo", "input"): 3, ("echo", "output"): 4}
    buckets = made["carillon_time_to_first_token_ms_bucket"].values
    assert {bound for _, bound in buckets} == {*UPPER_BOUNDS[4:]}
    assert set(buckets.values()) == {1}
    assert made["carillon_time_to_first_token_ms_sum"].values == {("echo",): 12}


def test_work_of_every_family_is_counted_by_its_unit(telemetry):
    call = World().call()
    telemetry.finished(call, 200, WorkUnits(pixel_steps=4_096, rows=2))
    telemetry.finished(call, 200, WorkUnits(pixel_steps=4_096, characters=5, input_tokens=3))
    telemetry.finished(call, 499, WorkUnits(audio_ms=1_250, video_pixel_ms=10))
    telemetry.flush()
    telemetry.flush()
    assert Metric.made["carillon_work"].values == {
        ("echo", "pixel_steps"): 8_192,
        ("echo", "rows"): 2,
        ("echo", "characters"): 5,
        ("echo", "audio_ms"): 1_250,
        ("echo", "video_pixel_ms"): 10,
    }
    assert Metric.made["carillon_tokens"].values == {("echo", "input"): 3}


def test_a_request_without_work_counts_none(telemetry):
    telemetry.finished(World().call(), 500, WorkUnits())
    telemetry.flush()
    assert Metric.made["carillon_work"].values == {}


def test_a_refused_websocket_is_counted_and_has_a_line(telemetry, tmp_path):
    headers = [(b"x-request-id", b"trace")]
    socket = WebSocket({"type": "websocket", "headers": headers}, no_message, no_message)
    telemetry.disconnected(socket, "/v1/realtime", 401)
    telemetry.flush()
    assert Metric.made["carillon_requests"].values == {("/v1/realtime", "", "401"): 1}
    (log,) = tmp_path.glob("access-*.jsonl")
    (line,) = map(json.loads, log.read_text().splitlines())
    assert (line["trace_id"], line["endpoint"], line["status"]) == ("trace", "/v1/realtime", 401)


async def no_message(*_):
    raise AssertionError("nothing is sent or received")


def test_a_refusal_is_counted_by_its_reason(telemetry):
    full = WindowState("tenant:t", Window(Meter.TOKENS, 60, 10), 10, 500)
    telemetry.admitted(World().call(), Refused((full,), full, 5))
    telemetry.flush()
    assert Metric.made["carillon_admissions"].values == {("refused", "tokens/60s"): 1}


def test_what_a_watched_window_would_have_refused_is_counted(telemetry):
    full = WindowState("tenant:t", Window(Meter.TOKENS, 60, 10, watched=True), 12, 500)
    telemetry.admitted(World().call(), Admitted((full,), (full,)))
    telemetry.flush()
    assert Metric.made["carillon_watched_refusals"].values == {("tokens/60s",): 1}


def test_waits_are_counted_and_the_queue_is_what_it_was_last(telemetry):
    for count in (1, 2, 1):
        telemetry.waiting("echo", count)
    telemetry.waited("echo", 40)
    telemetry.flush()
    telemetry.flush()
    assert Metric.made["carillon_queue_waiting"].values == {("echo",): 1}
    assert Metric.made["carillon_queue_wait_ms_sum"].values == {("echo",): 40}
    assert Metric.made["carillon_queue_wait_ms_count"].values == {("echo",): 1}


def test_the_access_log_has_a_json_line_per_request_with_both_ids(telemetry, tmp_path):
    call = World().call()
    telemetry.finished(call, 200, WorkUnits(input_tokens=3))
    telemetry.finished(call, 499, WorkUnits())
    telemetry.flush()
    (file,) = tmp_path.glob("access-*.jsonl")
    first, second = (json.loads(line) for line in file.read_text().splitlines())
    assert (first["request_id"], first["trace_id"]) == (call.request_id, "trace")
    assert (first["units"], second["status"]) == ({"input_tokens": 3}, 499)
