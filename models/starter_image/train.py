"""Train starter-image from nothing: ``python -m models.starter_image.train``.

One CPU thread, scenes drawn on the fly, three stages by CPU time: the text encoder learns to tell
attributes (half a minute), the autoencoder to compress pictures, the denoiser to draw what a
caption says. It writes a folder that every Stable Diffusion pipeline loads; it measures nothing:
``evaluate`` does. Scores repeat within noise, weights do not repeat bit by bit.
"""

import argparse
import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from torch import nn
from torch.nn import functional

from models.starter_image import WEIGHTS
from models.starter_image.autoencoder import as_tensor, train_autoencoder
from models.starter_image.clock import cpu_minutes
from models.starter_image.muon import Muon
from models.starter_image.muon import split as split_for_muon
from models.starter_image.networks import (
    TEXT_WIDTH,
    new_autoencoder,
    new_denoiser,
    new_text_encoder,
    scheduler,
)
from models.starter_image.scenes import (
    BACKGROUNDS,
    BOLD,
    COLOURS,
    SHAPES,
    Scene,
    caption,
    draw,
    random_scene,
    split,
)
from models.starter_image.schedule import follow, forget_origins, pace
from models.starter_image.words import build

TEXT_MINUTES = 0.4
BATCH, REFILL, POOL = 32, 8, 4096
KERNEL_RATE, RATE, TEXT_RATE = 3e-3, 1e-3, 3e-4
EMPTY_SHARE = 0.1
"""Captions left out, so that guidance has an unconditional answer to compare with."""
NAMING_WEIGHT = 0.05
EMA = 0.998
SAVE_EVERY_MINUTES = 1.5
STEPS = 1000


@dataclass(frozen=True)
class Options:
    """Minutes are of CPU time; a stage with none is left out."""

    autoencoder_minutes: float
    decoder_minutes: float
    minutes: float
    """Of the denoiser."""
    out: Path
    seed: int
    start: Path | None = None
    """A folder to go on from."""


class Naming(nn.Module):  # type: ignore[misc]  # torch has no types here
    """Reads colour, shape and background off the text states. Only training needs it.

    It makes the text encoder tell attributes apart in a minute; from pictures alone that takes an
    hour, and shapes, which move few pixels, come last.
    """

    def __init__(self) -> None:
        super().__init__()
        # Held-out combinations stay unseen: each attribute is read by itself.
        self.heads = nn.ModuleList(
            nn.Linear(TEXT_WIDTH, len(names)) for names in (COLOURS, SHAPES, BACKGROUNDS)
        )

    def loss(self, states: torch.Tensor, texts: list[str], scenes: list[Scene]) -> torch.Tensor:
        """Cross-entropy over the attributes that a text does name. `states` is [n, 32, 96]."""
        total = states.new_zeros(())
        for head, labels in zip(self.heads, _labels(texts, scenes), strict=True):
            total = total + functional.cross_entropy(head(states[:, -1]), labels, ignore_index=-1)
        return total


def _labels(texts: list[str], scenes: list[Scene]) -> list[torch.Tensor]:
    named = [text.lower() for text in texts]
    pairs = list(zip(named, scenes, strict=True))
    colour = [_label(s.colour, COLOURS, s.colour in t.replace(s.background, "")) for t, s in pairs]
    shape = [_label(s.shape, SHAPES, s.shape in t) for t, s in pairs]
    background = [_label(s.background, BACKGROUNDS, s.background in t) for t, s in pairs]
    return [torch.tensor(found) for found in (colour, shape, background)]


def _label(name: str, names: Any, said: object) -> int:
    return list(names).index(name) if said else -1


class Pool:
    """Latents of recent scenes. Drawing and encoding cost a tenth of what a fresh batch would."""

    def __init__(self, autoencoder: Any, rng: np.random.Generator) -> None:
        self._autoencoder, self._rng = autoencoder, rng
        self._allowed, _ = split()
        self._scale = autoencoder.config.scaling_factor
        self._scenes: list[Scene] = []
        self._latents = torch.zeros(POOL, 4, 8, 8)
        self._next = 0

    def refill(self, count: int) -> None:
        """Replace the oldest scenes by new ones."""
        scenes = [random_scene(self._rng, self._allowed, BOLD) for _ in range(count)]
        pictures = as_tensor([draw(scene, self._rng) for scene in scenes])
        with torch.no_grad():
            latents = self._autoencoder.encode(pictures).latent_dist.sample() * self._scale
        for scene, latent in zip(scenes, latents, strict=True):
            self._latents[self._next % POOL] = latent
            if len(self._scenes) < POOL:
                self._scenes.append(scene)
            else:
                self._scenes[self._next % POOL] = scene
            self._next += 1

    def batch(self) -> tuple[torch.Tensor, list[Scene]]:
        """(latents [n, 4, 8, 8], their scenes)."""
        chosen = self._rng.integers(len(self._scenes), size=BATCH)
        return self._latents[chosen], [self._scenes[i] for i in chosen]


class Run:
    """One training run."""

    def __init__(self, options: Options) -> None:
        torch.manual_seed(options.seed)
        self.options = options
        self.rng = np.random.default_rng(options.seed)
        self.began = cpu_minutes()
        self.first = 0.0
        """When the denoiser began."""
        self.scheduler = scheduler()
        self.naming = Naming()
        if options.start:
            started = StableDiffusionPipeline.from_pretrained(
                options.start, dtype=torch.float32, safety_checker=None
            )
            self.tokenizer, self.autoencoder = started.tokenizer, started.vae
            self.text, self.denoiser = started.text_encoder, started.unet
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
        return (self.minutes - self.first) / self.options.minutes

    def states(self, texts: list[str]) -> torch.Tensor:
        ids = self.tokenizer(
            texts, padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids
        states: torch.Tensor = self.text(ids).last_hidden_state
        return states

    def learn_names(self, minutes: float) -> None:
        """First stage: texts alone."""
        parameters = [*self.text.parameters(), *self.naming.parameters()]
        optimizer = torch.optim.AdamW(parameters, lr=1e-3)
        allowed, _ = split()
        ends, step = self.minutes + minutes, 0
        while self.minutes < ends:
            scenes = [random_scene(self.rng, allowed, BOLD) for _ in range(64)]
            texts = [caption(scene, self.rng) for scene in scenes]
            loss = self.naming.loss(self.states(texts), texts, scenes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 50 == 0:
                print(f"text step {step} loss {loss.item():.4f}", flush=True)
            step += 1

    def loss(self, latents: torch.Tensor, scenes: list[Scene]) -> torch.Tensor:
        """Velocity error at one random noise level a picture."""
        texts = [caption(scene, self.rng) for scene in scenes]
        naming_texts = list(texts)
        for index in range(len(texts)):
            texts[index] = "" if self.rng.random() < EMPTY_SHARE else texts[index]
        states = self.states(texts)
        noise = torch.randn_like(latents)
        steps = self._noise_levels(len(texts))
        noisy = self.scheduler.add_noise(latents, noise, steps)
        wanted = self.scheduler.get_velocity(latents, noise, steps)
        found = self.denoiser(noisy, steps, states).sample
        named = [text if kept else "" for text, kept in zip(naming_texts, texts, strict=True)]
        naming = self.naming.loss(states, named, scenes)
        return functional.mse_loss(found, wanted) + NAMING_WEIGHT * naming

    def _noise_levels(self, count: int) -> torch.Tensor:
        """Half of them uniform, half around the middle, where shapes are decided."""
        middle = torch.sigmoid(torch.randn(count)) * STEPS
        uniform = torch.rand(count) * STEPS
        chosen = torch.where(torch.rand(count) < 0.5, middle, uniform)
        return chosen.long().clamp(0, STEPS - 1)

    def learn_drawing(self) -> None:
        """Last stage: the denoiser, and the text encoder slowly with it."""
        self.autoencoder.requires_grad_(requires_grad=False)
        pool = Pool(self.autoencoder, self.rng)
        for _ in range(32):
            pool.refill(16)
        optimizers = self._optimizers()
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        rates = [group["lr"] for group in groups]
        self.first = saved = self.minutes
        smooth, step = 0.0, 0
        while self.done < 1:
            pool.refill(REFILL)
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate * pace(step, self.done)
            loss = self.loss(*pool.batch())
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
        kernels, rest = split_for_muon(self.denoiser.named_parameters(), ("conv_in", "conv_out"))
        groups = [
            {"params": rest, "lr": RATE},
            {"params": [*self.text.parameters(), *self.naming.parameters()], "lr": TEXT_RATE},
        ]
        adam = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01)
        return [Muon(kernels, lr=KERNEL_RATE), adam]

    def save(self) -> None:
        """The pipeline's folder, fp16 safetensors."""
        text, denoiser = self.steady
        StableDiffusionPipeline(
            vae=copy.deepcopy(self.autoencoder).half(),
            text_encoder=copy.deepcopy(text).half(),
            tokenizer=self.tokenizer,
            unet=copy.deepcopy(denoiser).half(),
            scheduler=self.scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).save_pretrained(self.options.out)
        forget_origins(self.options.out)


def train(options: Options) -> None:
    """The whole run; a checkpoint in ``out`` every few minutes."""
    torch.set_num_threads(1)
    run = Run(options)
    if not options.start:
        run.learn_names(TEXT_MINUTES)
        run.steady[0].load_state_dict(run.text.state_dict())
    if options.autoencoder_minutes:
        fresh = options.start is None
        train_autoencoder(
            run.autoencoder, options.autoencoder_minutes, options.seed, from_nothing=fresh
        )
        run.save()
    if options.minutes:
        run.learn_drawing()
        run.save()
    if options.decoder_minutes:
        run.autoencoder.requires_grad_(requires_grad=True)
        train_autoencoder(
            run.autoencoder,
            options.decoder_minutes,
            options.seed + 1,
            from_nothing=False,
            decoder_only=True,
        )
        run.save()
    print(f"trained for {run.minutes:.1f} minutes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--autoencoder-minutes", type=float, default=14.0)
    parser.add_argument("--minutes", type=float, default=24.0, help="of the denoiser")
    parser.add_argument("--decoder-minutes", type=float, default=6.0)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=Path, help="folder of weights to go on from")
    train(Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
