"""Score the shipped weights: ``python -m models.starter_image.evaluate``.

Every prompt names a combination that training never showed. Pictures come from diffusers' own
pipelines with the settings that are served; `judge` looks at them. A table goes to the terminal
and ``scores.json`` beside this file.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models import judged
from models.starter_image import HERE, WEIGHTS
from models.starter_image.autoencoder import as_tensor
from models.starter_image.judge import Verdict, judge
from models.starter_image.scenes import (
    BOLD,
    SIDE,
    Pixels,
    Scene,
    caption,
    draw,
    plain_caption,
    random_scene,
    split,
)

SEED = 2026
STEPS, GUIDANCE = 20, 3.0
"""What `serve_config.yaml` sets."""
STRENGTH = 0.75
REPEATS = 4
BATCH = 16


@dataclass(frozen=True)
class Score:
    """Shares of pictures in which each attribute is right."""

    kind: str
    count: int
    colour: float
    shape: float
    background: float


class Artist:
    """The weights in diffusers' pipelines."""

    def __init__(self, weights: Path = WEIGHTS, threads: int = 1) -> None:
        from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline

        torch.set_num_threads(threads)
        self.text: Any = StableDiffusionPipeline.from_pretrained(weights, dtype=torch.float32)
        self.image: Any = StableDiffusionImg2ImgPipeline.from_pipe(self.text)
        for pipeline in (self.text, self.image):
            pipeline.set_progress_bar_config(disable=True)

    def draw(
        self, prompts: Sequence[str], steps: int = STEPS, guidance: float = GUIDANCE
    ) -> list[Pixels]:
        """One picture a prompt."""
        return self._batched(
            self.text, prompts, None, num_inference_steps=steps, guidance_scale=guidance
        )

    def edit(
        self, pictures: Sequence[Pixels], prompts: Sequence[str], strength: float = STRENGTH
    ) -> list[Pixels]:
        """Each picture changed by its prompt."""
        return self._batched(
            self.image,
            prompts,
            as_tensor(list(pictures)) / 2 + 0.5,
            strength=strength,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
        )

    def reconstruct(self, pictures: Sequence[Pixels]) -> list[Pixels]:
        """Pictures through the autoencoder and back."""
        with torch.inference_mode():
            drawn = self.text.vae(as_tensor(list(pictures))).sample
        scaled = (drawn * 127.5 + 127.5).clamp(0, 255).round().byte()
        return list(scaled.permute(0, 2, 3, 1).numpy())

    def _batched(
        self, pipeline: Any, prompts: Sequence[str], images: Any, **options: Any
    ) -> list[Pixels]:
        found: list[Pixels] = []
        for start in range(0, len(prompts), BATCH):
            rows = range(start, min(len(prompts), start + BATCH))
            more = {} if images is None else {"image": images[rows.start : rows.stop]}
            generators = [torch.Generator().manual_seed(SEED + row) for row in rows]
            drawn = pipeline(
                prompt=[prompts[row] for row in rows], generator=generators, **more, **options
            )
            found += [np.asarray(picture) for picture in drawn.images]
        return found


def score(kind: str, wanted: Sequence[Scene], pictures: Sequence[Pixels]) -> Score:
    verdicts = [judge(picture) for picture in pictures]
    shares = {
        name: round(
            float(
                np.mean(
                    [
                        getattr(v, name) == getattr(s, name)
                        for v, s in zip(verdicts, wanted, strict=True)
                    ]
                )
            ),
            4,
        )
        for name in Verdict._fields
    }
    return Score(kind, len(pictures), **shares)


def held_out_scenes(repeats: int) -> list[Scene]:
    """Every held-out combination so many times, anywhere in the picture."""
    rng = np.random.default_rng(SEED)
    _, held_out = split()
    return [random_scene(rng, [c], BOLD) for _ in range(repeats) for c in held_out]


def evaluate(artist: Artist, repeats: int = REPEATS) -> list[Score]:
    """Scores of text to image (plain and free captions), image to image, and the autoencoder."""
    rng = np.random.default_rng(SEED)
    scenes = held_out_scenes(repeats)
    wordy = [_fully_said(scene, rng) for scene in scenes]
    changed = [_recoloured(scene, rng) for scene in scenes]
    originals = [draw(scene) for scene in scenes]
    return [
        score("text to image", scenes, artist.draw([plain_caption(s) for s in scenes])),
        score("text to image, other wordings", scenes, artist.draw(wordy)),
        score(
            "image to image, another colour",
            changed,
            artist.edit(originals, [plain_caption(s) for s in changed]),
        ),
        score("autoencoder alone", scenes, artist.reconstruct(originals)),
    ]


def _fully_said(scene: Scene, rng: np.random.Generator) -> str:
    """A free caption that leaves nothing out."""
    while True:
        text = caption(scene, rng)
        words = text.lower().replace(",", " ").replace(".", " ").split()
        if words.count(scene.background) + words.count(scene.colour) >= 2 and scene.shape in words:
            return text


def _recoloured(scene: Scene, rng: np.random.Generator) -> Scene:
    """The same scene with another colour of shape."""
    others = {
        c for c, s, b in split()[0] + split()[1] if s == scene.shape and b == scene.background
    }
    colour = str(rng.choice(sorted(others - {scene.colour})))
    return Scene(colour, scene.shape, scene.background, scene.x, scene.y, scene.radius)


def sheet(pictures: Sequence[Pixels], columns: int = 16) -> Pixels:
    """Pictures side by side, to look at."""
    rows = [list(pictures[i : i + columns]) for i in range(0, len(pictures), columns)]
    blank = np.zeros((SIDE, SIDE, 3), np.uint8)
    full = [row + [blank] * (columns - len(row)) for row in rows]
    return np.concatenate([np.concatenate(row, axis=1) for row in full], axis=0)


def table(scores: Sequence[Score]) -> str:
    lines = [f"{'task':<34}{'count':>6}{'colour':>9}{'shape':>9}{'background':>12}"]
    lines += [
        f"{s.kind:<34}{s.count:>6}{s.colour:>9.1%}{s.shape:>9.1%}{s.background:>12.1%}"
        for s in scores
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--out", type=Path, default=HERE / "scores.json")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--sheet", type=Path, help="also write a PNG of pictures to look at")
    options = parser.parse_args()
    began = time.process_time()
    artist = Artist(options.weights)
    scores = evaluate(artist, options.repeats)
    print(table(scores))
    print(f"{time.process_time() - began:.0f} s of CPU time")
    if options.sheet:
        from PIL import Image

        prompts = [plain_caption(scene) for scene in held_out_scenes(1)]
        Image.fromarray(sheet(artist.draw(prompts))).save(options.sheet)
    parts = ("unet", "vae", "text_encoder")
    parameters = {
        part: sum(p.numel() for p in getattr(artist.text, part).parameters()) for part in parts
    }
    found = {"seed": SEED, "parameters": parameters, "scores": [asdict(s) for s in scores]}
    options.out.write_text(json.dumps(found, indent=2) + "\n")
    judged.write(options.out, options.weights)


if __name__ == "__main__":
    main()
