"""Video rows: a film in the answer, and one as a durable job, against the bare library.

Whoever asks for a job hears of its end from its events here. Official clients ask for its state
once a second.
"""

import itertools
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from benchmarks.bare import Bare
from benchmarks.cluster import Cluster
from benchmarks.compare import Measured, Row, compared, take_turns
from benchmarks.family_rows import OVERHEAD, against_bare, work
from benchmarks.gateway_rows import Effort
from benchmarks.load import LoadFailed

MODEL = "starter-video"
PATH = f"/v1/models/{MODEL}/animate"
FILM = "p50, one client; 16 frames of 64 x 64 in 16 steps, the same prompts and seeds"
LONGEST_S = 60.0
PROMPTS = (
    "a red circle moving right",
    "a white star moving up",
    "a yellow triangle moving left",
    "a green square moving down",
)


def video(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """All rows of the family."""
    yield against_bare(
        cluster,
        effort,
        scratch,
        "video, one film through HTTP",
        (work(cluster.key, PATH, request, b'"video"') for request in _requests()),
        OVERHEAD,
        model=MODEL,
        library="diffusers",
        note=f"{FILM}, in the answer",
    )
    yield _as_a_job(cluster, effort, scratch)


def _as_a_job(cluster: Cluster, effort: Effort, scratch: Path) -> Row:
    """What being durable adds, however long the film takes: rows, a queue, three files kept."""
    upcoming, again = itertools.tee(_requests())
    many = effort.in_many_turns

    def ours() -> Measured:
        return Measured(_films_p50_ms(cluster, itertools.islice(upcoming, many.rounds)))

    def theirs() -> Measured:
        return Measured(bare.answer_p50_ms(list(itertools.islice(again, many.rounds))))

    with Bare(MODEL, scratch) as bare:
        turns = take_turns(many.repeats, ours, theirs, thrown_away=1)
    return compared(
        "video, one film as a job",
        "ms",
        turns,
        peer_name="diffusers in a process of its own",
        note=f"{FILM}; from the request for a job to the last byte of its content",
    )


def _requests() -> Iterator[dict[str, Any]]:
    for seed, prompt in enumerate(itertools.cycle(PROMPTS)):
        yield {"model": MODEL, "prompt": prompt, "seed": seed, "seconds": "1", "fps": 16}


def _films_p50_ms(cluster: Cluster, requests: Iterator[dict[str, Any]]) -> float:
    taken = []
    with httpx.Client(
        base_url=f"http://127.0.0.1:{cluster.port}",
        headers={"authorization": f"Bearer {cluster.key}", "cache-control": "no-store"},
        timeout=LONGEST_S,
        trust_env=False,
    ) as client:
        for request in requests:
            started = time.perf_counter()
            _film(client, request)
            taken.append(time.perf_counter() - started)
    return 1000 * statistics.median(taken)


def _film(client: httpx.Client, request: dict[str, Any]) -> bytes:
    """One film. Raises LoadFailed when it is not made."""
    film = client.post("/v1/videos", json=request).json()
    with client.stream("GET", f"/v1/videos/{film.get('id')}/events") as events:
        told = [line for line in events.iter_lines() if line.startswith("event: ")]
    if told[-1:] != ["event: video.completed"]:
        raise LoadFailed(f"no film: {film}, {told}")
    content = client.get(f"/v1/videos/{film['id']}/content")
    if not content.is_success:
        raise LoadFailed(f"no content: {content.text}")
    return content.content
