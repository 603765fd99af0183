"""Vision rows: captions batched against one by one, and one caption against the bare library."""

import base64
import io
import itertools
from collections.abc import Iterator
from pathlib import Path

from benchmarks.cluster import Cluster
from benchmarks.compare import Row
from benchmarks.family_rows import Work, against_bare, batched, work
from benchmarks.gateway_rows import Effort

PATH = "/v1/images/descriptions"
MODEL = "starter-vision"
PICTURES = 256
AS_OFTEN = 5
"""A caption takes some tens of milliseconds."""
SEED = 424_243


def vision(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """All rows of the family."""
    pictures = _pictures()
    yield batched(
        cluster,
        effort,
        "vision",
        "captions/s",
        lambda: _works(cluster.key, pictures),
        model=MODEL,
        note="captions of pictures of 64 x 64, Cache-Control: no-store",
    )
    yield against_bare(
        cluster,
        effort,
        scratch,
        "vision, one caption through HTTP",
        _works(cluster.key, pictures),
        model=MODEL,
        library="transformers",
        note="captions of pictures of 64 x 64",
        as_often=AS_OFTEN,
    )


def _pictures() -> list[str]:
    """Files in base64."""
    import numpy as np
    from PIL import Image

    from models.starter_image.scenes import draw, random_scene, split

    generator = np.random.default_rng(SEED)
    _, held = split()
    files = []
    for _ in range(PICTURES):
        file = io.BytesIO()
        Image.fromarray(draw(random_scene(generator, held), generator)).save(file, "PNG")
        files.append(base64.b64encode(file.getvalue()).decode())
    return files


def _works(key: str, pictures: list[str]) -> Iterator[Work]:
    for picture in itertools.cycle(pictures):
        yield work(key, PATH, {"image": picture}, b"image.description")
