"""Image rows: pictures batched against one by one, and several at once against the bare library."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from benchmarks.cluster import Cluster
from benchmarks.compare import Row
from benchmarks.family_rows import OVERHEAD, Work, against_bare, batched, work
from benchmarks.gateway_rows import Effort

PATH = "/v1/images/generations"
MODEL = "starter-image"
PICTURES = 2
"""Of one request where its time is measured: some hundreds of milliseconds of work."""
PROMPTS = (
    "a red circle on a blue background",
    "a white star on a black background",
    "a yellow triangle on a brown background",
    "a green square on a pink background",
)


def image(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """All rows of the family."""
    yield batched(
        cluster,
        effort,
        "image",
        "pictures/s",
        lambda: _works(cluster.key, 1),
        model=MODEL,
        note="a picture of 64 x 64 in 20 steps a request, Cache-Control: no-store",
    )
    yield against_bare(
        cluster,
        effort,
        scratch,
        f"image, {PICTURES} pictures through HTTP",
        _works(cluster.key, PICTURES),
        OVERHEAD,
        model=MODEL,
        library="diffusers",
        note="pictures of 64 x 64 in 20 steps, the same prompts and seeds, to PNG",
    )


def _works(key: str, pictures: int) -> Iterator[Work]:
    """Requests of so many pictures each."""
    for number, prompt in enumerate(itertools.cycle(PROMPTS)):
        request = {"model": MODEL, "prompt": prompt, "n": pictures, "seed": number * pictures}
        yield work(key, PATH, request, b'"b64_json"')
