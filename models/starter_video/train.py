"""Train starter-video from nothing: ``python -m models.starter_video.train``.

One CPU thread, clips drawn on the fly, three stages by CPU time: the autoencoder learns to compress
clips, the text encoder to tell attributes (minutes), the denoiser to film what a caption says,
from nothing or from a given first frame. It writes a folder that the Wan pipelines load; it
measures nothing: ``evaluate`` does. Scores repeat within noise, weights do not bit by bit.
"""

import argparse
import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from diffusers import WanPipeline
from torch import nn
from torch.nn import functional

from models.starter_image.clock import cpu_minutes
from models.starter_image.muon import Muon
from models.starter_image.muon import split as split_for_muon
from models.starter_image.scenes import BACKGROUNDS, COLOURS, SHAPES, split
from models.starter_image.schedule import follow, forget_origins, pace
from models.starter_video import WEIGHTS
from models.starter_video.autoencoder import as_tensor, train_autoencoder, train_decoder
from models.starter_video.clips import (
    MOTIONS,
    Clip,
    caption,
    draw,
    random_clip,
    tells_motion,
)
from models.starter_video.networks import (
    LATENT_CHANNELS,
    TEXT_WIDTH,
    TOKEN_CELLS,
    new_autoencoder,
    new_denoiser,
    new_text_encoder,
    pipeline,
)
from models.starter_video.words import build

HEADS_MINUTES = 0.15
"""For what reads off a text encoder that is trained already."""
EITHER = set(COLOURS) & set(BACKGROUNDS)
EITHER_SHARE = 0.5
"""Of the texts: both of their colours may be the shape's or the background's; order tells which."""
STAGES = ((0.22, 1, 48), (0.45, 3, 24), (1.0, 5, 16))
"""Until which share of the time how many latent frames are learned, of how many clips a step.

Most of what is to be learned shows in a single frame, which costs a fifth.
"""
POOL, FIRST_POOL, REFILL, REFILL_EVERY = 2048, 480, 4, 4
TEXT_KERNELS = tuple(f".{name}.weight" for name in ("q", "k", "v", "o", "wi_0", "wi_1", "wo"))
KERNEL_RATE, RATE, TEXT_RATE = 3e-3, 1e-3, 3e-4
EMPTY_SHARE = 0.1
"""Captions left out, so that guidance has an unconditional answer to compare with."""
GIVEN_SHARE = 0.35
"""Of the steps, for clips whose first frame is given."""
ANYWHERE_SHARE = 0.3
"""Of the clips: their shapes start anywhere. They are shown only with their first frame given."""
EARLIER_SHARE = 0.2
"""Of the steps, for what any stage so far has learned: shorter clips are not forgotten."""
NAMING_WEIGHT = 0.05
EMA = 0.996
SAVE_EVERY_MINUTES = 3.0
LEVELS = 1000
LATENT_FRAMES, CELLS = 5, 8


@dataclass(frozen=True)
class Options:
    """Minutes are of CPU time; a stage with none is left out."""

    autoencoder_minutes: float
    text_minutes: float
    decoder_minutes: float
    minutes: float
    """Of the denoiser, from its first step to its last."""
    out: Path
    seed: int
    start: Path | None = None
    """A folder to go on from."""
    begin: float = 0.0
    until: float = 1.0
    """Which part of the denoiser's time this run is: others have done or will do the rest."""


class Naming(nn.Module):  # type: ignore[misc]  # torch has no types here
    """Reads colour, shape, background and motion off the text states. Only training needs it.

    It makes the text encoder tell attributes apart in a minute; from clips alone that takes far
    longer.
    """

    def __init__(self) -> None:
        super().__init__()
        # Held-out combinations stay unseen: each attribute is read by itself.
        self.heads = nn.ModuleList(
            nn.Linear(TEXT_WIDTH, len(names)) for names in (COLOURS, SHAPES, BACKGROUNDS, MOTIONS)
        )

    def loss(self, ends: torch.Tensor, texts: list[str], clips: list[Clip]) -> torch.Tensor:
        """Cross-entropy over what a text does name, read off the state [n, 128] at its end."""
        total = ends.new_zeros(())
        for head, labels in zip(self.heads, _labels(texts, clips), strict=True):
            if (labels >= 0).any():
                total = total + functional.cross_entropy(head(ends), labels, ignore_index=-1)
        return total


def _labels(texts: list[str], clips: list[Clip]) -> list[torch.Tensor]:
    found = [_named(text.lower(), clip) for text, clip in zip(texts, clips, strict=True)]
    return [torch.tensor(column) for column in zip(*found, strict=True)]


def _named(text: str, clip: Clip) -> tuple[int, int, int, int]:
    """Numbers of colour, shape, background and motion; -1 for what the text leaves out."""
    return (
        _label(clip.colour, COLOURS, clip.colour in text.replace(clip.background, "")),
        _label(clip.shape, SHAPES, clip.shape in text),
        _label(clip.background, BACKGROUNDS, clip.background in text),
        _label(clip.motion, MOTIONS, tells_motion(text)),
    )


def _label(name: str, names: Any, said: object) -> int:
    return list(names).index(name) if said else -1


class Pool:
    """Latents of recent clips, unit size. Drawing and encoding cost more than a step does.

    A latent depends on its past alone: the first frames of a clip's latents are a shorter clip's.
    """

    def __init__(self, autoencoder: Any, rng: np.random.Generator) -> None:
        self._autoencoder, self._rng = autoencoder, rng
        self._allowed, _ = split()
        shape = (1, LATENT_CHANNELS, 1, 1, 1)
        self._mean = torch.tensor(autoencoder.config.latents_mean).view(shape)
        self._spread = torch.tensor(autoencoder.config.latents_std).view(shape)
        self._clips: list[Clip] = []
        self._free: list[bool] = []
        self._latents = torch.zeros(POOL, LATENT_CHANNELS, LATENT_FRAMES, CELLS, CELLS)
        self._next = 0

    @property
    def size(self) -> int:
        return len(self._clips)

    def refill(self, count: int) -> None:
        """Replace the oldest clips by new ones."""
        free = [bool(self._rng.random() < ANYWHERE_SHARE) for _ in range(count)]
        clips = [random_clip(self._rng, self._allowed, anywhere=one) for one in free]
        films = as_tensor([draw(clip, self._rng) for clip in clips])
        with torch.no_grad():
            # Most likely latents: those that image-to-video is given.
            latents = self._autoencoder.encode(films).latent_dist.mode()
        for clip, wide, latent in zip(
            clips, free, (latents - self._mean) / self._spread, strict=True
        ):
            place = self._next % POOL
            self._latents[place] = latent
            if len(self._clips) < POOL:
                self._clips.append(clip)
                self._free.append(wide)
            else:
                self._clips[place], self._free[place] = clip, wide
            self._next += 1

    def batch(self, count: int, *, free: bool) -> tuple[torch.Tensor, list[Clip]]:
        """(latents [n, 12, 5, 8, 8], their clips); only if `free` may they start anywhere."""
        able = [i for i, wide in enumerate(self._free) if free or not wide]
        chosen = [able[i] for i in self._rng.integers(len(able), size=count)]
        return self._latents[chosen], [self._clips[i] for i in chosen]


class Run:
    """One training run."""

    def __init__(self, options: Options) -> None:
        torch.manual_seed(options.seed)
        self.options = options
        self.rng = np.random.default_rng(options.seed)
        self.began = cpu_minutes()
        self.first = 0.0
        """When the denoiser began."""
        self.naming = Naming()
        if options.start:
            started = WanPipeline.from_pretrained(options.start, dtype=torch.float32)
            self.tokenizer, self.autoencoder = started.tokenizer, started.vae
            self.text, self.denoiser = started.text_encoder, started.transformer
        else:
            self.tokenizer = build(options.seed)
            self.autoencoder = new_autoencoder()
            self.text, self.denoiser = new_text_encoder(self.tokenizer), new_denoiser()
        self.steady = [copy.deepcopy(m).eval() for m in (self.text, self.denoiser)]

    @property
    def minutes(self) -> float:
        return cpu_minutes() - self.began

    @property
    def done(self) -> float:
        """Share of the denoiser's time that is spent."""
        return self.options.begin + (self.minutes - self.first) / self.options.minutes

    def states(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """(states [n, 32, 128], zero after a text's end as in the pipelines; those at the ends)."""
        tokens = self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
        mask = tokens.attention_mask
        states = self.text(tokens.input_ids, mask).last_hidden_state * mask[..., None]
        return states, states[torch.arange(len(texts)), mask.sum(dim=1) - 1]

    def learn_names(self, minutes: float) -> None:
        """Texts alone. Without minutes for it the text encoder stays as it is."""
        optimizers = self._text_optimizers(trained=minutes > 0)
        allowed, _ = split()
        either = [one for one in allowed if {one[0], one[2]} <= EITHER]
        minutes = minutes or HEADS_MINUTES
        began, step = self.minutes, 0
        while (done := (self.minutes - began) / minutes) < 1:
            chances = self.rng.random(64)
            clips = [
                random_clip(self.rng, either if chance < EITHER_SHARE else allowed)
                for chance in chances
            ]
            texts = [caption(clip, self.rng, given=step % 3 == 0) for clip in clips]
            loss = self.naming.loss(self.states(texts)[1], texts, clips)
            loss.backward()
            for optimizer, rate in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rate * min(1.0, 2 * (1 - done))
                optimizer.step()
                optimizer.zero_grad()
            if step % 50 == 0:
                print(f"text step {step} loss {loss.item():.4f}", flush=True)
            step += 1

    def _text_optimizers(self, *, trained: bool) -> list[tuple[Any, float]]:
        """With their rates. Muon moves attention off bags of words, where AdamW may stay."""
        named = list(self.text.named_parameters()) if trained else []
        kernels = [p for n, p in named if n.endswith(TEXT_KERNELS)]
        rest = [p for n, p in named if not n.endswith(TEXT_KERNELS)]
        adam = torch.optim.AdamW([*rest, *self.naming.parameters()])
        if not trained:
            return [(adam, RATE)]
        return [(adam, RATE), (Muon(kernels, lr=KERNEL_RATE), KERNEL_RATE)]

    def loss(self, latents: torch.Tensor, clips: list[Clip], *, given: bool) -> torch.Tensor:
        """Error of the flow at a random noise level a clip; if `given`, beyond the first frame."""
        texts = [
            "" if self.rng.random() < EMPTY_SHARE else caption(clip, self.rng, given=given)
            for clip in clips
        ]
        states, ends = self.states(texts)
        noise, levels = torch.randn_like(latents), self._noise_levels(len(texts))
        share = levels.view(-1, 1, 1, 1, 1)
        noisy = (1 - share) * latents + share * noise
        known = 1 if given else 0
        noisy[:, :, :known] = latents[:, :, :known]
        steps = levels * LEVELS
        if given:
            steps = _per_token(steps, latents.shape[2])
        with torch.autocast("cpu", dtype=torch.bfloat16), whole_precision_attention():
            found = self.denoiser(noisy, steps, states).sample.float()
        error = functional.mse_loss(found[:, :, known:], (noise - latents)[:, :, known:])
        return error + NAMING_WEIGHT * self.naming.loss(ends, texts, clips)

    @staticmethod
    def _noise_levels(count: int) -> torch.Tensor:
        """Half of them uniform, half around the upper middle, where shapes are decided.

        Each half is spread evenly, so that steps differ less.
        """
        half = count // 2
        even, central = (
            (torch.arange(many) + torch.rand(many)) / many for many in (half, count - half)
        )
        central = torch.sigmoid(torch.special.ndtri(central.clamp(1e-4, 1 - 1e-4)) + 0.5)
        return torch.cat([even, central])[torch.randperm(count)]

    def _batch(self, pool: Pool) -> tuple[torch.Tensor, list[Clip], bool]:
        """(latents, clips, whether the first frame is given)."""
        stage = sum(self.done > ends for ends, _, _ in STAGES[:-1])
        if self.rng.random() < EARLIER_SHARE:
            stage = int(self.rng.integers(stage + 1))
        _, frames, count = STAGES[stage]
        given = frames > 1 and bool(self.rng.random() < GIVEN_SHARE)
        latents, clips = pool.batch(count, free=given)
        return latents[:, :, :frames], clips, given

    def learn_filming(self) -> None:
        """Last stage: the denoiser, and the text encoder slowly with it."""
        self.autoencoder.requires_grad_(requires_grad=False)
        pool = Pool(self.autoencoder, self.rng)
        while pool.size < FIRST_POOL:
            pool.refill(16)
        optimizers = self._optimizers()
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        rates = [group["lr"] for group in groups]
        self.first = saved = self.minutes
        smooth, step = 0.0, 0
        while self.done < self.options.until:
            if step % REFILL_EVERY == 0:
                pool.refill(REFILL)
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate * pace(step, self.done)
            latents, clips, given = self._batch(pool)
            loss = self.loss(latents, clips, given=given)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.denoiser.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            follow(self.steady, (self.text, self.denoiser), step, EMA)
            smooth = loss.item() if step == 0 else 0.98 * smooth + 0.02 * loss.item()
            if step % 100 == 0:
                print(f"denoiser step {step} loss {smooth:.4f} {self.done:.1%}", flush=True)
            if self.minutes - saved > SAVE_EVERY_MINUTES:
                saved = self.minutes
                self.save()
            step += 1

    def _optimizers(self) -> list[Any]:
        ends = ("patch_embedding", "proj_out", "condition_embedder")
        kernels, rest = split_for_muon(self.denoiser.named_parameters(), ends)
        groups = [
            {"params": rest, "lr": RATE},
            {"params": [*self.text.parameters(), *self.naming.parameters()], "lr": TEXT_RATE},
        ]
        adam = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01)
        return [Muon(kernels, lr=KERNEL_RATE), adam]

    def save(self) -> None:
        """The pipeline's folder, fp16 safetensors."""
        text, denoiser = (copy.deepcopy(model).half() for model in self.steady)
        autoencoder = copy.deepcopy(self.autoencoder).half()
        pipeline(self.tokenizer, text, autoencoder, denoiser).save_pretrained(self.options.out)
        forget_origins(self.options.out)


@contextmanager
def whole_precision_attention() -> Iterator[None]:
    """Within, attention is computed in fp32: its bf16 backward pass costs six times as much here.

    With it a step in bf16 takes 0.72 of one in fp32; without it, more.
    """
    given = functional.scaled_dot_product_attention

    def whole(**how: Any) -> torch.Tensor:
        dtype = how["query"].dtype
        exact = {n: s.float() if torch.is_tensor(s) else s for n, s in how.items()}
        with torch.autocast("cpu", enabled=False):
            return given(**exact).to(dtype)

    with mock.patch.object(functional, given.__name__, whole):
        yield


def _per_token(steps: torch.Tensor, frames: int) -> torch.Tensor:
    """Levels [n] as [n, tokens]: zero for the first frame's tokens, which are clean."""
    per_frame = (CELLS // TOKEN_CELLS) ** 2
    spread = steps[:, None].repeat(1, frames * per_frame)
    spread[:, :per_frame] = 0
    return spread


def train(options: Options) -> None:
    """The whole run; a checkpoint in ``out`` every few minutes."""
    torch.set_num_threads(1)
    run = Run(options)
    if options.autoencoder_minutes:
        fresh = options.start is None
        minutes = options.autoencoder_minutes
        train_autoencoder(run.autoencoder, minutes, options.seed, from_nothing=fresh)
        run.save()
    if options.minutes:
        run.learn_names(options.text_minutes)
        run.steady[0].load_state_dict(run.text.state_dict())
        run.learn_filming()
        run.save()
    if options.decoder_minutes:
        run.autoencoder.requires_grad_(requires_grad=True)
        train_decoder(run.autoencoder, options.decoder_minutes, options.seed + 1)
        run.save()
    print(f"trained for {run.minutes:.1f} minutes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--autoencoder-minutes", type=float, default=30.0)
    parser.add_argument("--text-minutes", type=float, default=2.5)
    parser.add_argument("--minutes", type=float, default=75.0, help="of the denoiser")
    parser.add_argument("--decoder-minutes", type=float, default=10.0)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=Path, help="folder of weights to go on from")
    parser.add_argument("--begin", type=float, default=0.0, help="share of minutes already spent")
    parser.add_argument("--until", type=float, default=1.0, help="share of minutes to stop at")
    train(Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
