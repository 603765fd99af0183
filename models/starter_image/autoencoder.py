"""Train the autoencoder: pictures to 8 x 8 latents and back, sharp enough for four shapes.

First of the long stages of `train`. From nothing, most of it sees quarters of pictures, four times
as fast: edges look the same there. A few pictures are clutter, not scenes, so that pictures which
people upload survive too. The decoder can be trained on alone: latents, and with them the denoiser,
stay what they are.
"""

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from models.starter_image.clock import cpu_minutes
from models.starter_image.muon import Muon
from models.starter_image.muon import split as split_for_muon
from models.starter_image.scenes import (
    BACKGROUNDS,
    BOLD,
    COLOURS,
    SHAPES,
    SIDE,
    Pixels,
    draw,
    random_scene,
    shape_coverage,
    split,
)

BATCH = 16
CROP, CROP_SHARE = 32, 0.75
"""Side of the cut-outs in pixels, and how much of the time is theirs."""
KERNEL_RATE, RATE = 4e-3, 1e-3
KL_WEIGHT = 5e-6
"""Of the divergence summed over a picture's latents, against the mean absolute error."""
CLUTTER_SHARE = 0.06
EDGE_WEIGHT = 0.5
EDGES = (
    "encoder.conv_in",
    "encoder.conv_out",
    "quant_conv",
    "post_quant_conv",
    "decoder.conv_in",
    "decoder.conv_out",
)
"""Layers that touch pixels or latents."""


def scenes(rng: np.random.Generator, count: int) -> torch.Tensor:
    """Scenes to train on, [count, 3, 64, 64] in -1..1."""
    allowed, _ = split()
    return as_tensor([draw(random_scene(rng, allowed, BOLD), rng) for _ in range(count)])


def as_tensor(pictures: list[Pixels]) -> torch.Tensor:
    """uint8 pictures as a model takes them: [n, 3, side, side] in -1..1."""
    stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()
    return stacked / 127.5 - 1


def clutter(rng: np.random.Generator) -> Pixels:
    """A gradient with a few shapes of any colours."""
    tones = np.array([*COLOURS.values(), *BACKGROUNDS.values()], np.float64)
    ramp = np.linspace(0, 1, SIDE)
    ramp = ramp[None, :, None] if rng.random() < 0.5 else ramp[:, None, None]
    first, second = tones[rng.integers(len(tones), size=2)] + rng.normal(0, 20, (2, 3))
    picture = np.broadcast_to(first + (second - first) * ramp, (SIDE, SIDE, 3))
    for _ in range(rng.integers(1, 5)):
        shape = str(rng.choice(SHAPES))
        covered = shape_coverage(shape, rng.random(), rng.random(), rng.uniform(0.08, 0.4))
        picture = picture + (rng.uniform(0, 255, 3) - picture) * covered[..., None]
    pixels: Pixels = picture.clip(0, 255).astype(np.uint8)
    return pixels


def _batch(rng: np.random.Generator, *, whole: bool) -> torch.Tensor:
    allowed, _ = split()
    pictures = [
        clutter(rng)
        if rng.random() < CLUTTER_SHARE
        else draw(random_scene(rng, allowed, BOLD), rng)
        for _ in range(BATCH)
    ]
    return as_tensor(pictures if whole else [_cut(picture, rng) for picture in pictures])


def _cut(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """Any square of `CROP` pixels."""
    top, left = rng.integers(SIDE - CROP + 1, size=2)
    return picture[top : top + CROP, left : left + CROP]


def loss_of(model: Any, pictures: torch.Tensor, *, decoder_only: bool = False) -> torch.Tensor:
    """Absolute error, error of the edges, and the divergence from a normal prior."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with torch.set_grad_enabled(not decoder_only):
            latents = model.encode(pictures).latent_dist
            sample = latents.sample()
        drawn = model.decode(sample).sample.float()
    loss = functional.l1_loss(drawn, pictures)
    for axis in (2, 3):
        edges = (torch.diff(drawn, dim=axis), torch.diff(pictures, dim=axis))
        loss = loss + EDGE_WEIGHT * functional.l1_loss(*edges)
    return loss + KL_WEIGHT * latents.kl().float().mean()


def train_autoencoder(
    model: Any, minutes: float, seed: int, *, from_nothing: bool, decoder_only: bool = False
) -> None:
    """Train for so many minutes of CPU time, then set the scale that makes latents unit size."""
    rng, smooth = np.random.default_rng(seed), 0.0
    optimizers = _optimizers(model, decoder_only=decoder_only)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    rates = [group["lr"] for group in groups]
    step, began = 0, cpu_minutes()
    while (done := (cpu_minutes() - began) / minutes) < 1:
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate * min(1.0, (step + 1) / 50) * (1 - done)
        batch = _batch(rng, whole=not from_nothing or done > CROP_SHARE)
        loss = loss_of(model, batch, decoder_only=decoder_only)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        smooth = loss.item() if step == 0 else 0.98 * smooth + 0.02 * loss.item()
        if step % 100 == 0:
            print(f"autoencoder step {step} loss {smooth:.4f} {done:.1%}", flush=True)
        step += 1
    if not decoder_only:
        model.register_to_config(scaling_factor=_scale(model, rng))


def _optimizers(model: Any, *, decoder_only: bool) -> list[Any]:
    trained = ("decoder.", "post_quant_conv.") if decoder_only else ("",)
    named = [(name, p) for name, p in model.named_parameters() if name.startswith(trained)]
    kernels, rest = split_for_muon(named, EDGES)
    adam = torch.optim.AdamW(rest, lr=RATE, betas=(0.9, 0.98), weight_decay=0)
    return [Muon(kernels, lr=KERNEL_RATE), adam]


def _scale(model: Any, rng: np.random.Generator) -> float:
    with torch.no_grad():
        latents = model.encode(scenes(rng, 128)).latent_dist
    spread = float(latents.mean.std())
    print(f"latent std {spread:.3f}, noise {float(latents.std.mean()):.3f}", flush=True)
    return round(1 / spread, 5)
