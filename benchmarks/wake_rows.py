"""Wake rows: how long the first caller of a sleeping model waits. They have no peer.

Which models sleep, the cluster says; how to call one follows from its family. A model that is awake
already (the cluster is somebody else's) gives no row.
"""

import base64
import io
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.cluster import Cluster, model_application
from benchmarks.compare import Measured, Row, Rule, Target, alone
from benchmarks.gateway_rows import Effort
from benchmarks.load import LoadFailed
from core.imports import load_spec

TARGET = Target(Rule.VALUE_AT_MOST, 20)
TIMEOUT_S = 120.0
POLL_S = 0.25
RATE = 16_000
PROMPT = "a red circle on a blue background"


def wake(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """One call of each model that sleeps."""
    del effort, scratch
    with _client(cluster) as client:
        for model in _asleep(client):
            started = time.perf_counter()
            _answered(client, model)
            yield alone(
                f"wake {model}",
                "s",
                [Measured(time.perf_counter() - started)],
                TARGET,
                note="first answer of a model that slept",
            )


def wake_up(cluster: Cluster, model: str | None = None) -> None:
    """Have the model awake, or all of them."""
    with _client(cluster) as client:
        for name in _asleep(client):
            if model in {None, name}:
                _answered(client, name)


@contextmanager
def _client(cluster: Cluster) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=f"http://127.0.0.1:{cluster.port}",
        headers={"authorization": f"Bearer {cluster.key}", "cache-control": "no-store"},
        timeout=TIMEOUT_S,
        trust_env=False,
    ) as client:
        yield client


def _asleep(client: httpx.Client) -> list[str]:
    services: dict[str, str] = client.get("/health").json()["services"]
    return [name for name, state in services.items() if state == "asleep"]


def _answered(client: httpx.Client, model: str) -> None:
    """Ask until there is an answer: a caller who is told to come back does. Raises LoadFailed."""
    call = call_of(model)
    deadline = time.monotonic() + TIMEOUT_S
    try:
        while (answer := client.post(**call)).status_code == httpx.codes.SERVICE_UNAVAILABLE:
            _require_time(deadline, model, answer)
            time.sleep(float(answer.headers.get("retry-after", 1)))
        answer.raise_for_status()
        if answer.headers["content-type"].startswith("application/json"):
            _require_done(client, call["url"], answer, deadline)
    except httpx.HTTPError as error:
        raise LoadFailed(f"{model}: {error}") from error


def _require_done(client: httpx.Client, url: str, answer: httpx.Response, deadline: float) -> None:
    """What is answered with a job is answered when the job is done."""
    job = answer.json()
    while job.get("status") in {"queued", "in_progress"}:
        _require_time(deadline, url, answer)
        time.sleep(POLL_S)
        answer = client.get(f"{url}/{job['id']}").raise_for_status()
        job = answer.json()
    if job.get("status") == "failed":
        raise LoadFailed(f"{url}: {answer.text}")


def _require_time(deadline: float, what: str, answer: httpx.Response) -> None:
    if time.monotonic() > deadline:
        raise LoadFailed(f"{what}: no answer in {TIMEOUT_S:.0f} s: {answer.text}")


def call_of(model: str) -> dict[str, Any]:
    """A small request. Raises LoadFailed for a family that has none here."""
    family = load_spec(model_application(model)["args"]["spec"]).family
    picture = base64.b64encode(_picture()).decode()
    silence = {"file": ("silence.wav", _silence(), "audio/wav")}
    spoken = {"model": model, "input": "one", "voice": "alloy", "response_format": "wav"}
    calls: dict[str, dict[str, Any]] = {
        "image": {
            "url": "/v1/images/generations",
            "json": {"model": model, "prompt": PROMPT, "steps": 4},
        },
        "vision": {
            "url": "/v1/images/descriptions",
            "json": {"model": model, "image": picture},
        },
        "video": {
            "url": "/v1/videos",
            "json": {"model": model, "prompt": PROMPT, "steps": 4},
        },
        "speech": {"url": "/v1/audio/speech", "json": spoken},
        "sql": {
            "url": "/v1/sql",
            "json": {"model": model, "query": "SELECT 1", "action": "optimize"},
        },
        "image-workflow": {
            "url": "/v1/images/workflows",
            "json": {"model": model, "prompt": PROMPT, "generate": {"steps": 4}},
        },
        "market-insight": {
            "url": "/v1/forecasts/insights",
            "json": {"model": model, "symbol": "BTC"},
        },
        "apps": {
            "url": "/v1/apps/reviews",
            "json": {"model": model, "files": [{"path": "a.js", "content": "let a = 1"}]},
        },
        "voice": {"url": "/v1/voice", "json": {"model": model, "text": "one"}},
        "transcription": {
            "url": "/v1/audio/transcriptions",
            "data": {"model": model},
            "files": silence,
        },
        "rag": {
            "url": "/v1/rag/documents",
            "json": {"model": model, "collection": "wake", "id": "bell", "text": "A bell rings."},
        },
    }
    if family not in calls:
        raise LoadFailed(f"'{model}' sleeps, and no call is known for the family '{family}'")
    return calls[family]


def _picture() -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 30, 30)).save(buffer, "PNG")
    return buffer.getvalue()


def _silence() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(bytes(2 * RATE))
    return buffer.getvalue()
