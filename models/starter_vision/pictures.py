"""Pictures of a scene as they may arrive: other tones, noise, JPEG, other sizes, crops.

Drawn with starter-image's geometry; between a clean drawing and what training sees. Pictures are
uint8 arrays [height, width, 3].
"""

import io
import random
from dataclasses import replace

import numpy as np
from PIL import Image

from models.starter_image.scenes import BACKGROUNDS, COLOURS, Field, Pixels, Scene, shape_coverage

SIDE = 64
TONE_JITTER = 22
CSS = {
    "red": ((255, 0, 0), (220, 20, 60)),
    "green": ((0, 128, 0), (0, 255, 0), (34, 139, 34)),
    "blue": ((0, 0, 255), (30, 60, 200)),
    "yellow": ((255, 255, 0),),
    "orange": ((255, 165, 0), (255, 140, 0)),
    "purple": ((128, 0, 128), (160, 32, 240)),
    "white": ((255, 255, 255),),
    "black": ((0, 0, 0),),
    "gray": ((128, 128, 128), (160, 160, 160)),
    "pink": ((255, 192, 203), (255, 105, 180)),
    "brown": ((139, 69, 19), (165, 42, 42)),
}
"""Tones that drawing programs call by the same names."""
FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.NEAREST)


def cropped(rng: random.Random, scene: Scene) -> Scene:
    """`scene` with up to an eighth of the picture cut off: shapes keep most of their outline."""
    kept = 1 - rng.uniform(0, 1 / 8)
    left, top = rng.uniform(0, 1 - kept), rng.uniform(0, 1 - kept)
    x, y = (scene.x - left) / kept, (scene.y - top) / kept
    return replace(scene, x=x, y=y, radius=scene.radius / kept)


def outline(scene: Scene) -> Field:
    """How much of each pixel the shape covers, [SIDE, SIDE]."""
    return shape_coverage(scene.shape, scene.x, scene.y, scene.radius, SIDE)


def picture(rng: random.Random, scene: Scene) -> Pixels:
    """`scene`, drawn in some tones and worn, [SIDE, SIDE, 3]."""
    side = rng.choice((SIDE, SIDE, SIDE, 96, 128))
    covered = shape_coverage(scene.shape, scene.x, scene.y, scene.radius, side)[..., None]
    front = _tone(rng, scene.colour, COLOURS[scene.colour])
    back = _tone(rng, scene.background, BACKGROUNDS[scene.background])
    drawn = (back + (front - back) * covered).round().clip(0, 255).astype(np.uint8)
    return worn(rng, drawn)


def worn(rng: random.Random, pixels: Pixels) -> Pixels:
    """`pixels` as they may arrive, at last [SIDE, SIDE, 3]."""
    image = Image.fromarray(pixels)
    if rng.random() < 0.3:
        other = rng.randint(40, 160)
        image = image.resize((other, other), rng.choice(FILTERS))
    if rng.random() < 0.3:
        image = _through_jpeg(rng, image)
    image = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return _noisy(rng, np.asarray(image)) if rng.random() < 0.5 else np.asarray(image)


def _tone(rng: random.Random, name: str, usual: tuple[int, int, int]) -> Field:
    tone = rng.choice(CSS[name]) if rng.random() < 0.3 else usual
    spread = TONE_JITTER if rng.random() < 0.5 else 7
    return np.array([value + rng.uniform(-spread, spread) for value in tone])


def _through_jpeg(rng: random.Random, image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=rng.randint(30, 95))
    return Image.open(file).convert("RGB")


def _noisy(rng: random.Random, pixels: Pixels) -> Pixels:
    """Brightness, contrast and grain, all slight."""
    generator = np.random.default_rng(rng.getrandbits(32))
    values = pixels.astype(np.float32)
    values = (values - 128) * rng.uniform(0.9, 1.1) + 128 + rng.uniform(-8, 8)
    values += generator.normal(0, rng.uniform(0, 10), pixels.shape)
    noisy: Pixels = values.clip(0, 255).astype(np.uint8)
    return noisy
