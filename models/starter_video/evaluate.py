"""Score the shipped weights: ``python -m models.starter_video.evaluate``.

Every prompt names a combination that training never showed. Clips come from diffusers' own
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
from models.starter_image.scenes import SIDE, split
from models.starter_video import HERE, WEIGHTS
from models.starter_video.autoencoder import as_tensor
from models.starter_video.clips import (
    FRAMES,
    MOTIONS,
    Clip,
    Film,
    caption,
    draw,
    first_frame,
    plain_caption,
    random_clip,
    tells_motion,
)
from models.starter_video.judge import Verdict, judge
from models.starter_video.words import CONTEXT

SEED = 2026
STEPS, GUIDANCE = 16, 3.0
"""What `serve_config.yaml` sets."""
BATCH = 8
WAYS = tuple(name for name, way in MOTIONS.items() if any(way))


@dataclass(frozen=True)
class Score:
    """Shares of clips in which each attribute is right; `all` is colour, shape and motion."""

    kind: str
    count: int
    colour: float
    shape: float
    background: float
    motion: float
    all: float


class Studio:
    """The weights in diffusers' pipelines."""

    def __init__(self, weights: Path = WEIGHTS, threads: int = 1) -> None:
        from diffusers import DiffusionPipeline, WanImageToVideoPipeline

        torch.set_num_threads(threads)
        self.text: Any = DiffusionPipeline.from_pretrained(weights, dtype=torch.float32)
        self.image: Any = WanImageToVideoPipeline(
            tokenizer=self.text.tokenizer,
            text_encoder=self.text.text_encoder,
            vae=self.text.vae,
            scheduler=self.text.scheduler,
            transformer=self.text.transformer,
            expand_timesteps=True,
        )
        for pipeline in (self.text, self.image):
            pipeline.set_progress_bar_config(disable=True)

    def film(
        self,
        prompts: Sequence[str],
        *,
        steps: int = STEPS,
        guidance: float = GUIDANCE,
        frames: int = FRAMES,
    ) -> list[Film]:
        """One clip a prompt."""
        found: list[Film] = []
        for start in range(0, len(prompts), BATCH):
            batch = list(prompts[start : start + BATCH])
            generators = [
                torch.Generator().manual_seed(SEED + start + i) for i in range(len(batch))
            ]
            made = self.text(
                prompt=batch,
                generator=generators,
                **self._options(steps, guidance, frames),
            )
            found += [_pixels(film) for film in made.frames]
        return found

    def animate(
        self,
        pictures: Sequence[Any],
        prompts: Sequence[str],
        *,
        steps: int = STEPS,
        guidance: float = GUIDANCE,
        frames: int = FRAMES,
    ) -> list[Film]:
        """One clip a picture (uint8 [64, 64, 3]), which is its first frame."""
        found = []
        for row, (picture, prompt) in enumerate(zip(pictures, prompts, strict=True)):
            # States, not texts: the pipeline's own reading of texts needs a package of its own.
            told, untold = self.text.encode_prompt(prompt, max_sequence_length=CONTEXT)
            made = self.image(
                image=torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255,
                prompt_embeds=told,
                negative_prompt_embeds=untold,
                generator=torch.Generator().manual_seed(SEED + row),
                **self._options(steps, guidance, frames),
            )
            found.append(_pixels(made.frames[0]))
        return found

    def reconstruct(self, films: Sequence[Film]) -> list[Film]:
        """Clips through the autoencoder and back."""
        found: list[Film] = []
        for film in films:
            with torch.inference_mode():
                drawn = self.text.vae(as_tensor([film])).sample
            found.append(_pixels(drawn[0].permute(1, 2, 3, 0).numpy() / 2 + 0.5))
        return found

    @staticmethod
    def _options(steps: int, guidance: float, frames: int) -> dict[str, Any]:
        return {
            "height": SIDE,
            "width": SIDE,
            "num_frames": frames,
            "num_inference_steps": steps,
            "guidance_scale": guidance,
            "max_sequence_length": CONTEXT,
        }


def _pixels(film: Any) -> Film:
    """Frames in 0..1 as uint8."""
    scaled: Film = (np.asarray(film) * 255).round().clip(0, 255).astype(np.uint8)
    return scaled


def score(kind: str, wanted: Sequence[Clip], films: Sequence[Film]) -> Score:
    verdicts = [judge(film) for film in films]
    right = {
        name: [getattr(v, name) == getattr(c, name) for v, c in zip(verdicts, wanted, strict=True)]
        for name in Verdict._fields
    }
    asked = (right["colour"], right["shape"], right["motion"])
    right["all"] = [all(facts) for facts in zip(*asked, strict=True)]
    shares = {name: round(float(np.mean(facts)), 4) for name, facts in right.items()}
    return Score(kind, len(films), **shares)


def held_out_clips(scale: float = 1.0) -> list[Clip]:
    """Every held-out combination, moving every way, anywhere; or a share of them."""
    rng = np.random.default_rng(SEED)
    clips = [random_clip(rng, [c], motion=way) for c in split()[1] for way in WAYS]
    chosen = rng.permutation(len(clips))[: max(4, round(scale * len(clips)))]
    return [clips[i] for i in sorted(chosen)]


def evaluate(studio: Studio, scale: float = 1.0) -> list[Score]:
    """Scores of text to video, image to video, and the autoencoder."""
    rng = np.random.default_rng(SEED)
    clips = held_out_clips(scale)
    half, quarter = clips[::2], clips[::4]
    still = [Clip(c.colour, c.shape, c.background, "still") for c in quarter]
    pictures = [first_frame(clip) for clip in half]
    moving = [f"it moves {clip.motion}" for clip in quarter]
    wordy = [_fully_said(clip, rng) for clip in half]
    return [
        score("text to video", clips, studio.film(_plain(clips))),
        score("text to video, other wordings", half, studio.film(wordy)),
        score("text to video, standing still", still, studio.film(_plain(still))),
        score("text to video, 9 frames", quarter, studio.film(_plain(quarter), frames=9)),
        score("image to video", half, studio.animate(pictures, _plain(half))),
        score("image to video, motion alone said", quarter, studio.animate(pictures[::2], moving)),
        score("autoencoder alone", clips, studio.reconstruct([draw(c) for c in clips])),
    ]


def _plain(clips: Sequence[Clip]) -> list[str]:
    return [plain_caption(clip) for clip in clips]


def _fully_said(clip: Clip, rng: np.random.Generator) -> str:
    """A free caption that leaves nothing out."""
    while True:
        text = caption(clip, rng)
        words = text.lower().replace(",", " ").replace(".", " ").split()
        named = words.count(clip.background) + words.count(clip.colour) >= 2
        if named and clip.shape in words and tells_motion(text):
            return text


def sheet(films: Sequence[Film], every: int = 4) -> Any:
    """Every so many frames of each clip in a row, to look at; three clips side by side."""
    rows = [np.concatenate(list(film[::every]), axis=1) for film in films]
    rows_of_three = [rows[i : i + 3] for i in range(0, len(rows) - len(rows) % 3, 3)]
    return np.concatenate([np.concatenate(three, axis=1) for three in rows_of_three], axis=0)


def table(scores: Sequence[Score]) -> str:
    names = ("colour", "shape", "background", "motion", "all")
    lines = [f"{'task':<36}{'count':>6}" + "".join(f"{name:>12}" for name in names)]
    lines += [
        f"{s.kind:<36}{s.count:>6}" + "".join(f"{getattr(s, name):>12.1%}" for name in names)
        for s in scores
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--out", type=Path, default=HERE / "scores.json")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the prompts to film")
    parser.add_argument("--sheet", type=Path, help="also write a PNG of frames to look at")
    options = parser.parse_args()
    began = time.process_time()
    studio = Studio(options.weights)
    scores = evaluate(studio, options.scale)
    print(table(scores))
    print(f"{time.process_time() - began:.0f} s of CPU time")
    if options.sheet:
        from PIL import Image

        films = studio.film(_plain(held_out_clips(0.2)))
        Image.fromarray(sheet(films)).save(options.sheet)
    if options.scale < 1:
        return
    parts = ("transformer", "vae", "text_encoder")
    parameters = {
        part: sum(p.numel() for p in getattr(studio.text, part).parameters()) for part in parts
    }
    found = {
        "seed": SEED,
        "steps": STEPS,
        "guidance": GUIDANCE,
        "parameters": parameters,
        "scores": [asdict(s) for s in scores],
    }
    options.out.write_text(json.dumps(found, indent=2) + "\n")
    judged.write(options.out, options.weights)


if __name__ == "__main__":
    main()
