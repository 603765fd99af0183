"""Clips: one coloured shape that moves over a plain background, drawn and described.

This is all that starter-video can film. Colours, shapes, backgrounds and the held-out combinations
are those of starter-image's scenes. Drawing is numpy alone and deterministic from the random
generator that it is given: a shape is drawn once per quarter of a pixel and then laid down.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.starter_image.scenes import (
    BACKGROUNDS,
    COLOUR_JITTER,
    COLOURS,
    EXTRAS,
    SIDE,
    Pixels,
    shape_coverage,
)

FRAMES = 17
"""Of the longest clip: a first frame and four times four more, as the autoencoder takes them."""
MOTIONS: dict[str, tuple[int, int]] = {
    "left": (-1, 0),
    "right": (1, 0),
    "up": (0, -1),
    "down": (0, 1),
    "still": (0, 0),
}
"""Direction (across, down) of each motion."""
STILL_SHARE = 0.08
RADII, TRAVEL, ASIDE = (0.24, 0.3), (0.28, 0.34), 0.03
"""In picture sides: how large a shape is, how far it goes in `FRAMES` frames, how far its path's
middle is from the picture's. It never leaves the picture."""
ANY_RADII, ANY_TRAVEL = (0.2, 0.4), (0.2, 0.42)
"""Of clips that start anywhere, as given pictures do, and may leave the picture."""
SMALL, LARGE = 0.255, 0.285
"""Radii below and above which a caption may say small or large."""
PHASES = 4
"""Places in a pixel at which a shape is drawn, each way."""
STEPS_OF_RADIUS = 160
"""Radii are rounded to this part of a picture's side, so that drawn shapes are found again."""

Film = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Clip:
    """What a clip shows.

    `x`, `y` (first centre, y downwards), `radius` and `travel` (in `FRAMES` frames) are in picture
    sides.
    """

    colour: str
    shape: str
    background: str
    motion: str
    x: float = 0.5
    y: float = 0.5
    radius: float = 0.24
    travel: float = 0.3

    @property
    def size_word(self) -> str:
        """Small, large or nothing."""
        return "small" if self.radius < SMALL else "large" if self.radius > LARGE else ""


def random_clip(
    rng: np.random.Generator,
    allowed: Sequence[tuple[str, str, str]],
    *,
    motion: str | None = None,
    anywhere: bool = False,
) -> Clip:
    """One of the allowed combinations; it crosses the picture's middle, or starts `anywhere`."""
    colour, shape, background = allowed[int(rng.integers(len(allowed)))]
    motion = motion or _random_motion(rng)
    radius = float(rng.uniform(*(ANY_RADII if anywhere else RADII)))
    travel = float(rng.uniform(*(ANY_TRAVEL if anywhere else TRAVEL))) if motion != "still" else 0.0
    if anywhere:
        x, y = (float(place) for place in rng.uniform(radius + 0.02, 0.98 - radius, 2))
    else:
        aside = rng.uniform(-ASIDE, ASIDE, 2)
        x, y = (
            0.5 + float(off) - way * travel / 2
            for way, off in zip(MOTIONS[motion], aside, strict=True)
        )
    return Clip(colour, shape, background, motion, x, y, radius, travel)


def _random_motion(rng: np.random.Generator) -> str:
    if rng.random() < STILL_SHARE:
        return "still"
    return str(rng.choice([name for name, way in MOTIONS.items() if any(way)]))


def draw(clip: Clip, rng: np.random.Generator | None = None, frames: int = FRAMES) -> Film:
    """The frames, uint8 [frames, 64, 64, 3], edges smoothed; with `rng`, colours vary a little."""
    front, back = _tone(COLOURS[clip.colour], rng), _tone(BACKGROUNDS[clip.background], rng)
    across, down = MOTIONS[clip.motion]
    found = []
    for frame in range(frames):
        gone = clip.travel * frame / (FRAMES - 1)
        covered = _covered(clip.shape, clip.x + across * gone, clip.y + down * gone, clip.radius)
        found.append(back + (front - back) * covered[..., None])
    pixels: Film = np.stack(found).round().clip(0, 255).astype(np.uint8)
    return pixels


def _tone(colour: tuple[int, int, int], rng: np.random.Generator | None) -> Any:
    tone = np.asarray(colour, np.float64)
    return tone if rng is None else tone + rng.uniform(-COLOUR_JITTER, COLOUR_JITTER, 3)


def _covered(shape: str, x: float, y: float, radius: float) -> Any:
    """Share of each pixel that the shape covers, [64, 64]; what is outside the picture is lost."""
    left, top = (round(centre * SIDE * PHASES) for centre in (x, y))
    patch = _patch(shape, round(radius * STEPS_OF_RADIUS), left % PHASES, top % PHASES)
    half = len(patch) // 2
    canvas = np.zeros((SIDE + 4 * half, SIDE + 4 * half))
    row, column = (place // PHASES + half for place in (top, left))
    row, column = (min(max(0, place), SIDE + 2 * half) for place in (row, column))
    canvas[row : row + 2 * half, column : column + 2 * half] = patch
    return canvas[2 * half : 2 * half + SIDE, 2 * half : 2 * half + SIDE]


@functools.lru_cache(maxsize=8192)
def _patch(shape: str, radius: int, right: int, lower: int) -> Any:
    """A shape that fills its square; its centre is so many phases from the square's middle."""
    pixels = radius * SIDE / STEPS_OF_RADIUS
    side = 2 * (int(pixels) + 3)
    x, y = (0.5 + phase / PHASES / side for phase in (right, lower))
    return shape_coverage(shape, x, y, pixels / side, side=side).astype(np.float32)


def first_frame(clip: Clip) -> Pixels:
    """The picture that image-to-video starts from."""
    picture: Pixels = draw(clip, frames=1)[0]
    return picture


TOWARDS: dict[str, tuple[str, ...]] = {
    "left": ("left", "left", "to the left", "leftwards", "towards the left", "leftward"),
    "right": ("right", "right", "to the right", "rightwards", "towards the right", "rightward"),
    "up": ("up", "up", "upwards", "to the top", "upward"),
    "down": ("down", "down", "downwards", "to the bottom", "downward"),
}
DOING = ("moving", "moving", "moving", "going", "sliding", "gliding", "drifting", "flying")
DOES = ("moves", "moves", "goes", "slides", "glides", "drifts", "flies")
DO = ("move", "move", "move it", "make it move", "go", "slide")
RISING = {"up": ("rising", "floating up", "rising up"), "down": ("falling", "sinking", "dropping")}
RISES = {"up": ("rises", "floats up"), "down": ("falls", "sinks", "drops")}
STANDING = ("standing still", "not moving", "that does not move", "that stands still", "at rest")
STAND = ("stand still", "it stands still", "nothing moves", "no movement")
MOTION_WORDS = {
    *" ".join(words for group in TOWARDS.values() for words in group).split(),
    *" ".join(words for group in (*RISING.values(), *RISES.values()) for words in group).split(),
    *("still", "not", "rest", "nothing", "no", "stays"),
} - {"to", "the", "towards"}

WHOLE = (
    "{a_thing} {moving} on a {background} background",
    "{a_thing} {moving} on a {background} background",
    "{a_thing} {moving} on a {background} background",
    "{a_thing} on a {background} background {moving}",
    "{a_thing} on a {background} background, {moving}",
    "{a_thing} {moving}, {background} background",
    "{thing} {moving}, {background} background",
    "{thing}, {background} background, {moving}",
    "{a_thing} {moving} on {background}",
    "{a_thing} {moving} over a {background} background",
    "{a_thing} {moving} in front of a {background} background",
    "a {background} background with {a_thing} {moving}",
    "a video of {a_thing} {moving} on a {background} background",
    "a clip of {a_thing} on a {background} background {moving}",
    "show {a_thing} {moving} on a {background} background",
    "on a {background} background, {a_thing} {moving}",
)
PART = (
    "{a_thing} {moving}",
    "{thing} {moving}",
    "a video of {a_thing} {moving}",
    "{a_thing} on a {background} background",
)
BARE = ("{moving}", "it {moves}", "the shape {moves}", "the {thing} {moves}", "{move}")
"""For clips whose first picture is given."""


def caption(clip: Clip, rng: np.random.Generator, *, given: bool = False) -> str:
    """Some way to say the clip; sometimes only a part of it, mostly so if its picture is given."""
    parts = rng.random(5)
    colour = clip.colour if parts[0] < 0.95 else ""
    shape = clip.shape if parts[1] < 0.95 else "shape"
    size = clip.size_word if parts[2] < 0.25 else ""
    thing = " ".join(word for word in (size, colour, shape) if word)
    forms = BARE if given and parts[3] < 0.4 else PART if parts[3] > 0.92 else WHOLE
    text = str(rng.choice(forms)).format(
        thing=thing,
        a_thing=f"{_article(thing)} {thing}",
        background=clip.background,
        moving=_moving(clip.motion, rng),
        moves=_moves(clip.motion, rng),
        move=_move(clip.motion, rng),
    )
    text = text if parts[4] < 0.88 else f"{text}, {rng.choice(EXTRAS)}"
    return text[0].upper() + text[1:] + "." if rng.random() < 0.2 else text


def _moving(motion: str, rng: np.random.Generator) -> str:
    """Moving left, that moves left, rising, standing still, ..."""
    chance = rng.random()
    if motion == "still":
        return str(rng.choice(STANDING))
    if chance < 0.2:
        return f"that {_moves(motion, rng)}"
    if chance < 0.35 and motion in RISING:
        return str(rng.choice(RISING[motion]))
    return f"{rng.choice(DOING)} {rng.choice(TOWARDS[motion])}"


def _moves(motion: str, rng: np.random.Generator) -> str:
    if motion == "still":
        return str(rng.choice(("does not move", "stands still", "stays where it is")))
    if rng.random() < 0.2 and motion in RISES:
        return str(rng.choice(RISES[motion]))
    return f"{rng.choice(DOES)} {rng.choice(TOWARDS[motion])}"


def _move(motion: str, rng: np.random.Generator) -> str:
    if motion == "still":
        return str(rng.choice(STAND))
    return f"{rng.choice(DO)} {rng.choice(TOWARDS[motion])}"


def tells_motion(text: str) -> bool:
    """Whether a caption names a direction, or says that nothing moves."""
    return not MOTION_WORDS.isdisjoint(text.lower().replace(",", " ").replace(".", " ").split())


def plain_caption(clip: Clip) -> str:
    """The plainest full caption: what evaluation asks for."""
    moving = "standing still" if clip.motion == "still" else f"moving {clip.motion}"
    thing = f"{clip.colour} {clip.shape}"
    return f"{_article(thing)} {thing} {moving} on a {clip.background} background"


def _article(words: str) -> str:
    return "an" if words[:1] in "aeiou" else "a"
