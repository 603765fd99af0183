"""A judge of pictures: which colour, shape and background it shows, from pixels alone.

It is not told what was asked for. The background is the picture's rim, the shape's pixels are those
far from it, the shape is the outline that covers its box best. A picture that fits nothing well is
judged `unclear`, which is never right.
"""

from typing import Any, NamedTuple

import numpy as np

from models.starter_image.scenes import (
    BACKGROUNDS,
    COLOURS,
    SHAPES,
    Pixels,
    shape_coverage,
)

UNCLEAR = "unclear"
BOX = 32
"""Side in pixels of the box in which outlines are compared."""
LEAST_OVERLAP = 0.75
LEAST_SHARE = 0.02
"""Of the picture that a shape covers."""
FARTHEST = 90.0
"""RGB distance from the nearest named colour beyond which a colour has no name."""

Array = np.ndarray[Any, Any]


class Verdict(NamedTuple):
    """What a picture shows."""

    colour: str
    shape: str
    background: str


def judge(pixels: Pixels) -> Verdict:
    """The verdict on a uint8 picture [side, side, 3]."""
    picture = pixels.astype(np.float64)
    rim = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    ground = np.median(rim, axis=0)
    background = _named(ground, BACKGROUNDS)
    mask = _shape_pixels(picture, ground)
    if mask.mean() < LEAST_SHARE:
        return Verdict(UNCLEAR, UNCLEAR, background)
    tone = np.median(picture[_inside(mask)], axis=0)
    return Verdict(_named(tone, COLOURS), _outline(mask), background)


def _shape_pixels(picture: Array, ground: Array) -> Array:
    """Pixels nearer to the shape's colour than to the background's."""
    far = np.linalg.norm(picture - ground, axis=-1)
    clear = far > max(30.0, 0.6 * float(np.quantile(far, 0.98)))
    if not clear.any():
        return np.asarray(clear)
    tone = np.median(picture[clear], axis=0)
    return np.asarray(np.linalg.norm(picture - tone, axis=-1) < far)


def _inside(mask: Array) -> Array:
    """The mask without its rim, whose pixels are mixtures; the mask itself when it is thin."""
    inner = mask.copy()
    for axis in (0, 1):
        for step in (1, -1):
            inner &= np.roll(mask, step, axis)
    return inner if inner.any() else mask


def _named(tone: Array, names: dict[str, tuple[int, int, int]]) -> str:
    distances = {name: float(np.linalg.norm(tone - rgb)) for name, rgb in names.items()}
    nearest = min(distances, key=lambda name: distances[name])
    return nearest if distances[nearest] <= FARTHEST else UNCLEAR


def _outline(mask: Array) -> str:
    """The shape that covers the mask's box most alike."""
    box = _box(mask)
    overlaps = {shape: _overlap(box, outline) for shape, outline in OUTLINES.items()}
    best = max(overlaps, key=lambda shape: overlaps[shape])
    return best if overlaps[best] >= LEAST_OVERLAP else UNCLEAR


def _overlap(one: Array, other: Array) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


def _box(mask: Array) -> Array:
    """The part of a mask that holds the shape, scaled to `BOX`. Lone pixels do not widen it."""
    rows, columns = (_extent(mask.sum(axis=axis)) for axis in (1, 0))
    down = np.linspace(rows[0], rows[1], BOX, endpoint=False).astype(int)
    across = np.linspace(columns[0], columns[1], BOX, endpoint=False).astype(int)
    cut: Array = mask[np.ix_(down, across)]
    return cut


def _extent(counts: Array) -> tuple[int, int]:
    """First and last line with more than a speck, as a half-open range."""
    lines = np.flatnonzero(counts >= max(1, 0.04 * counts.max()))
    return int(lines[0]), int(lines[-1]) + 1


OUTLINES = {shape: _box(shape_coverage(shape, 0.5, 0.5, 0.4, side=256) > 0.5) for shape in SHAPES}
