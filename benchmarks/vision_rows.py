"""Vision rows: captions batched against one by one, and one caption against the bare library.

The bare side is transformers in this process on the same weights, from the bytes of the same
pictures to the text.
"""

import base64
import io
import itertools
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.cluster import Cluster
from benchmarks.compare import Measured, Row, compared, take_turns
from benchmarks.gateway_rows import Effort
from benchmarks.load import DEFAULT_CONNECTIONS, Shot, fire
from benchmarks.shots import NO_STORE, post

PATH = "/v1/images/descriptions"
PICTURES = 256
NOTE = "captions of unique pictures of 64 x 64, Cache-Control: no-store"
SEED = 424_243


def vision(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """All rows of the family."""
    del scratch
    pictures = _pictures()
    yield _batched(cluster, effort, pictures)
    yield _one_caption(cluster, effort, pictures)


def _batched(cluster: Cluster, effort: Effort, pictures: list[bytes]) -> Row:
    """Captions each second, from many clients and from one."""

    def from_clients(count: int) -> Measured:
        clients = [_shots(cluster.key, pictures) for _ in range(count)]
        return Measured(fire(cluster.port, clients, seconds=effort.seconds).per_second)

    return compared(
        "vision, batched over one by one",
        "captions/s",
        take_turns(
            effort.repeats, lambda: from_clients(DEFAULT_CONNECTIONS), lambda: from_clients(1)
        ),
        peer_name="the same from one client, which is never batched",
        note=f"{DEFAULT_CONNECTIONS} clients; {NOTE}",
    )


def _one_caption(cluster: Cluster, effort: Effort, pictures: list[bytes]) -> Row:
    """One client; what the service adds to the model's own time."""
    bare = _Bare()
    turn = max(1, effort.latencies // 4)

    def ours() -> Measured:
        shots = itertools.islice(_shots(cluster.key, pictures), turn)
        return Measured(fire(cluster.port, [shots]).p50_ms)

    return compared(
        "vision, one caption, p50",
        "ms",
        take_turns(effort.repeats, ours, lambda: Measured(bare.p50_ms(pictures, turn))),
        peer_name="transformers in process",
        note=f"ours through HTTP; {NOTE}",
    )


class _Bare:
    """What somebody with the library alone would write."""

    def __init__(self) -> None:
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        from models.starter_vision import WEIGHTS

        self.torch = torch
        self.processor = AutoProcessor.from_pretrained(WEIGHTS)
        self.model = AutoModelForImageTextToText.from_pretrained(WEIGHTS, dtype=torch.float32)

    def p50_ms(self, pictures: list[bytes], count: int) -> float:
        taken = []
        for data in itertools.islice(itertools.cycle(pictures), count):
            started = time.perf_counter()
            self.caption(data)
            taken.append(time.perf_counter() - started)
        return 1000 * statistics.median(taken)

    def caption(self, data: bytes) -> str:
        from PIL import Image

        content: list[dict[str, Any]] = [
            {"type": "image", "image": Image.open(io.BytesIO(data)).convert("RGB")},
            {"type": "text", "text": "Describe the picture."},
        ]
        inputs = self.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            processor_kwargs={"return_tensors": "pt"},
        )
        with self.torch.inference_mode():
            ids = self.model.generate(**inputs, max_new_tokens=64)
        text: str = self.processor.decode(ids[0], skip_special_tokens=True)
        return text


def _pictures() -> list[bytes]:
    import numpy as np
    from PIL import Image

    from models.starter_image.scenes import draw, random_scene, split

    generator = np.random.default_rng(SEED)
    _, held = split()
    files = []
    for _ in range(PICTURES):
        file = io.BytesIO()
        Image.fromarray(draw(random_scene(generator, held), generator)).save(file, "PNG")
        files.append(file.getvalue())
    return files


def _shots(key: str, pictures: list[bytes]) -> Iterator[Shot]:
    for data in itertools.cycle(pictures):
        body = json.dumps({"image": base64.b64encode(data).decode()}).encode()
        yield Shot(post(key, PATH, body, NO_STORE), b"image.description")
