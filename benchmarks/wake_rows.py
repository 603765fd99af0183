"""Wake rows: how long the first caller of a sleeping model waits. They have no peer.

A model that is awake already (the cluster is somebody else's) gives no row.
"""

import base64
import io
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from benchmarks.cluster import Cluster
from benchmarks.compare import Measured, Row, Rule, Target, alone
from benchmarks.gateway_rows import Effort

TARGET = Target(Rule.VALUE_AT_MOST, 20)
TIMEOUT_S = 120.0
RATE = 16_000


def wake(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """One call of each model that sleeps."""
    del effort, scratch
    with httpx.Client(
        base_url=f"http://127.0.0.1:{cluster.port}",
        headers={"authorization": f"Bearer {cluster.key}"},
        timeout=TIMEOUT_S,
        trust_env=False,
    ) as client:
        services = client.get("/health").json()["services"]
        for model, call in _calls().items():
            if services.get(model) == "asleep":
                started = time.perf_counter()
                _answered(client, call)
                yield alone(
                    f"wake {model}",
                    "s",
                    [Measured(time.perf_counter() - started)],
                    TARGET,
                    note="first answer of a model that slept",
                )


def _answered(client: httpx.Client, call: dict[str, Any]) -> None:
    """Ask until there is an answer: a caller who is told to come back does."""
    while (answer := client.post(**call)).status_code == httpx.codes.SERVICE_UNAVAILABLE:
        time.sleep(float(answer.headers["retry-after"]))
    answer.raise_for_status()


def _calls() -> dict[str, dict[str, Any]]:
    picture = base64.b64encode(_picture()).decode()
    return {
        "starter-image": {
            "url": "/v1/images/generations",
            "json": {"prompt": "a red circle on a blue background", "steps": 4},
        },
        "starter-vision": {"url": "/v1/images/descriptions", "json": {"image": picture}},
        "starter-speech": {
            "url": "/v1/audio/speech",
            "json": {"input": "one", "voice": "alloy", "response_format": "wav"},
        },
        "starter-transcribe": {
            "url": "/v1/audio/transcriptions",
            "files": {"file": ("silence.wav", _silence(), "audio/wav")},
        },
    }


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
