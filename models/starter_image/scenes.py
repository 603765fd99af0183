"""Scenes: one coloured shape on a plain background, drawn and described.

This is all that starter-image can draw and starter-vision can see. Drawing is numpy alone and
deterministic from the random generator that it is given. Some combinations of colour, shape and
background are held out by a hash: training never shows them, evaluation shows only them.
"""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SIDE = 64
"""Pixels of a picture's side."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 35, 40),
    "green": (35, 165, 70),
    "blue": (35, 80, 220),
    "yellow": (245, 215, 45),
    "orange": (245, 135, 25),
    "purple": (140, 55, 175),
    "white": (248, 248, 248),
    "black": (18, 18, 18),
}
BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "white": (248, 248, 248),
    "black": (18, 18, 18),
    "gray": (135, 135, 135),
    "blue": (35, 80, 220),
    "green": (35, 165, 70),
    "yellow": (245, 215, 45),
    "pink": (250, 165, 195),
    "brown": (115, 70, 40),
}
SHAPES = ("circle", "square", "triangle", "star")

HELD_OUT_SHARE = 0.15
COLOUR_JITTER = 7
SMALL, LARGE = 0.25, 0.31
"""Radii, in picture sides, below and above which a caption may say small or large."""
NEAR, FAR = 0.42, 0.58
"""Centres, in picture sides, before and after which a caption may say left or right."""
STAR_INNER = 0.45
RADII = (0.2, 0.37)
BOLD = (0.26, 0.4)
"""Radii of the shapes that starter-image learns to draw: eight latent cells a side hold no less."""

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Field = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Scene:
    """What a picture shows. `x`, `y` (centre, y downwards) and `radius` are in picture sides."""

    colour: str
    shape: str
    background: str
    x: float = 0.5
    y: float = 0.5
    radius: float = 0.28

    @property
    def size_word(self) -> str:
        """Small, large or nothing."""
        return "small" if self.radius < SMALL else "large" if self.radius > LARGE else ""

    @property
    def place_words(self) -> str:
        """Top left, right, ... or centre."""
        words = [_side(self.y, "top", "bottom"), _side(self.x, "left", "right")]
        return " ".join(word for word in words if word) or "centre"


def _side(where: float, before: str, after: str) -> str:
    return before if where < NEAR else after if where > FAR else ""


def combinations() -> list[tuple[str, str, str]]:
    """Every (colour, shape, background) in which the shape can be seen."""
    every = itertools.product(COLOURS, SHAPES, BACKGROUNDS)
    return [(c, s, b) for c, s, b in every if c != b]


def in_held_out(colour: str, shape: str, background: str) -> bool:
    """Whether training must never show this combination."""
    digest = hashlib.sha256(f"{colour} {shape} {background}".encode()).digest()
    return digest[0] < 256 * HELD_OUT_SHARE


def split() -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    """(combinations to train on, held-out ones)."""
    every = combinations()
    return [c for c in every if not in_held_out(*c)], [c for c in every if in_held_out(*c)]


def random_scene(
    rng: np.random.Generator,
    allowed: Sequence[tuple[str, str, str]],
    radii: tuple[float, float] = RADII,
) -> Scene:
    """One of the allowed combinations, anywhere that keeps the shape inside the picture."""
    colour, shape, background = allowed[int(rng.integers(len(allowed)))]
    radius = rng.uniform(*radii)
    low, high = radius + 0.02, 0.98 - radius
    return Scene(colour, shape, background, rng.uniform(low, high), rng.uniform(low, high), radius)


def draw(scene: Scene, rng: np.random.Generator | None = None, side: int = SIDE) -> Pixels:
    """The picture, uint8 [side, side, 3], edges smoothed; with `rng`, colours vary a little."""
    coverage = shape_coverage(scene.shape, scene.x, scene.y, scene.radius, side)[..., None]
    front, back = _tone(COLOURS[scene.colour], rng), _tone(BACKGROUNDS[scene.background], rng)
    pixels: Pixels = (back + (front - back) * coverage).round().clip(0, 255).astype(np.uint8)
    return pixels


def _tone(colour: tuple[int, int, int], rng: np.random.Generator | None) -> Field:
    tone = np.asarray(colour, np.float64)
    if rng is None:
        return tone
    varied: Field = tone + rng.uniform(-COLOUR_JITTER, COLOUR_JITTER, 3)
    return varied


def shape_coverage(shape: str, x: float, y: float, radius: float, side: int = SIDE) -> Field:
    """Share of each pixel that the shape covers, [side, side] in 0..1."""
    axis = (np.arange(side) + 0.5) / side
    across, down = (axis[None, :] - x) / radius, (axis[:, None] - y) / radius
    inside: Field = (0.5 - _distance(shape, across, down) * radius * side).clip(0, 1)
    return inside


def _distance(shape: str, across: Field, down: Field) -> Field:
    """Signed distance to the outline of a shape of radius 1 at the origin; negative inside."""
    if shape == "circle":
        return np.asarray(np.hypot(across, down) - 1)
    return _polygon_distance(_corners(shape), across, down)


def _corners(shape: str) -> Field:
    """Corners [n, 2] in order, y downwards."""
    if shape == "square":
        return np.array([(-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)])
    if shape == "triangle":
        return np.array([(0.0, -0.95), (1.0, 0.85), (-1.0, 0.85)])
    turns = np.arange(10) * np.pi / 5
    reach = np.where(np.arange(10) % 2 == 0, 1.0, STAR_INNER)
    return np.stack([reach * np.sin(turns), -reach * np.cos(turns)], axis=1)


def _polygon_distance(corners: Field, across: Field, down: Field) -> Field:
    """Signed distance to a polygon: the nearest edge, and the crossing rule for the sign."""
    nearest = np.full(np.broadcast_shapes(across.shape, down.shape), np.inf)
    inside = np.zeros(nearest.shape, bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        ex, ey = bx - ax, by - ay
        along = (((across - ax) * ex + (down - ay) * ey) / (ex * ex + ey * ey)).clip(0, 1)
        nearest = np.minimum(nearest, np.hypot(across - ax - along * ex, down - ay - along * ey))
        if ay != by:
            inside ^= ((down < ay) != (down < by)) & (across < ax + (down - ay) * ex / ey)
    return np.where(inside, -nearest, nearest)


BARE = (
    "{thing}",
    "a picture of {a_thing}",
    "an image of {a_thing}",
    "draw {a_thing}",
    "one {thing}",
)
FULL = (
    "{a_thing} on a {background} background",
    "{a_thing} on a {background} background",
    "{a_thing} on {background}",
    "{thing}, {background} background",
    "{a_thing} with a {background} background",
    "a {background} background with {a_thing}",
    "{background} background, {thing}",
    "{a_thing} in front of a {background} background",
    "a picture of {a_thing} on a {background} background",
    "draw {a_thing} on a {background} background",
    "the {thing} is on a {background} background",
)
PLACED = (
    "{a_thing} at the {place} of a {background} background",
    "{a_thing} on a {background} background, {place}",
    "{a_thing} at the {place}, {background} background",
)
EXTRAS = (
    "a photograph, natural light",
    "cinematic still, shallow depth of field",
    "anime, vivid",
    "digital art, highly detailed",
    "line art, clean",
    "watercolor painting, soft edges",
    "oil painting on canvas",
    "pixel art",
    "3d render, studio lighting",
    "flat design, minimal",
    "high quality",
    "simple",
    "please",
)
"""Ends that say nothing about a scene: prompts carry them, so training does too."""


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """Some way to say the scene; sometimes only a part of it."""
    parts = rng.random(4)
    colour = scene.colour if parts[0] < 0.93 else ""
    shape = scene.shape if parts[1] < 0.93 else "shape"
    size = scene.size_word if parts[2] < 0.35 else ""
    thing = " ".join(word for word in (size, colour, shape) if word)
    forms = PLACED if parts[3] < 0.2 else BARE if parts[3] > 0.93 else FULL
    if parts[3] > 0.98:
        return f"a {scene.background} background"
    text = str(rng.choice(forms)).format(
        thing=thing,
        a_thing=f"{_article(thing)} {thing}",
        background=scene.background,
        place=scene.place_words,
    )
    text = text if rng.random() < 0.85 else f"{text}, {rng.choice(EXTRAS)}"
    return text[0].upper() + text[1:] + "." if rng.random() < 0.15 else text


def plain_caption(scene: Scene) -> str:
    """The plainest full caption: what evaluation asks for."""
    return (
        f"{_article(scene.colour)} {scene.colour} {scene.shape} on a {scene.background} background"
    )


def _article(words: str) -> str:
    return "an" if words[:1] in "aeiou" else "a"
