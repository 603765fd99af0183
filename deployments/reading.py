"""Reading: the text of a picture, by RapidOCR (PP-OCR models inside its wheel, onnxruntime).

Place in the path: step 4, under `deployments.vision`, for the task "ocr". It loads at the first
picture that is read, and works offline. It does not describe pictures.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from core.model import CallContext, Frozen
from deployments.device_time import DeviceTime
from deployments.pictures import as_rgb, open_picture

SAME_LINE = 0.5
"""Share of the lower of two blocks' heights that they must share to be on one line."""


class ReadingSettings(Frozen):
    """How text is read."""

    threads: int = 2
    """CPU threads of one picture."""
    longest_side: int = 1280
    """Pixels; what is larger is made smaller before text is looked for."""
    least_confidence: float = 0.5
    """Blocks that are read with less are left out."""


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of text.

    `box` is its outline: x and y of four corners, clockwise from the top left, in the picture's
    pixels. `confidence` is 0 to 1.
    """

    text: str
    box: tuple[tuple[float, float], ...]
    confidence: float

    @property
    def top(self) -> float:
        return min(y for _, y in self.box)

    @property
    def bottom(self) -> float:
        return max(y for _, y in self.box)

    @property
    def left(self) -> float:
        return min(x for x, _ in self.box)


class Reader:
    """One OCR engine and its thread."""

    def __init__(self, settings: ReadingSettings) -> None:
        self.settings = settings
        self.worker = ThreadPoolExecutor(1, "read")
        self.device = DeviceTime()
        self._engine: Any = None

    async def read(
        self, data: bytes, param: str, call: CallContext | None = None
    ) -> tuple[list[Block], int]:
        """Every block of text in a picture file, in reading order, and how many pixels it has.

        Raises InvalidRequest naming `param`. Files wait undecoded: one is decoded at a time.
        The engine's time is counted for `call`.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.worker, self._open_and_read, data, param, call)

    def _open_and_read(
        self, data: bytes, param: str, call: CallContext | None
    ) -> tuple[list[Block], int]:
        picture = as_rgb(open_picture(data, param))
        with self.device.busy(*(() if call is None else (call,))):
            return self._read(picture), picture.width * picture.height

    def _read(self, picture: Any) -> list[Block]:
        import numpy as np

        if self._engine is None:
            self._engine = _engine(self.settings)
        found = self._engine(np.asarray(picture)[:, :, ::-1])  # OpenCV's order: blue first
        if found.txts is None:
            return []
        blocks = [
            Block(text, tuple((float(x), float(y)) for x, y in box), round(float(score), 4))
            for text, box, score in zip(found.txts, found.boxes, found.scores, strict=True)
        ]
        return [block for line in lines(blocks) for block in line]


def lines(blocks: Sequence[Block]) -> list[list[Block]]:
    """Blocks as lines from top to bottom, each from left to right."""
    found: list[list[Block]] = []
    for block in sorted(blocks, key=lambda b: b.top):
        line = next((line for line in reversed(found) if _beside(line[0], block)), None)
        if line is None:
            found.append([block])
        else:
            line.append(block)
    return [sorted(line, key=lambda b: b.left) for line in found]


def text_of(blocks: Sequence[Block]) -> str:
    """The blocks' text, one line of the picture a line."""
    return "\n".join(" ".join(block.text for block in line) for line in lines(blocks))


def _beside(one: Block, other: Block) -> bool:
    shared = min(one.bottom, other.bottom) - max(one.top, other.top)
    return shared > SAME_LINE * min(one.bottom - one.top, other.bottom - other.top)


def _engine(settings: ReadingSettings) -> Any:
    from rapidocr import RapidOCR

    return RapidOCR(
        params={
            "Global.log_level": "error",
            "Global.text_score": settings.least_confidence,
            "Global.max_side_len": settings.longest_side,
            "Det.limit_type": "max",
            "Det.limit_side_len": settings.longest_side,
            "EngineConfig.onnxruntime.intra_op_num_threads": settings.threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )
