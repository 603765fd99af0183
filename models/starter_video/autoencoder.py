"""Train the autoencoder: clips to latents and back, sharp enough for four shapes that move.

First of the long stages of `train`. It learns single frames first, for which the last slice of a
causal kernel is all that counts, so that a step costs a third; then clips, of which most of the
time only quarters are shown: edges look the same there.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d, unpatchify
from torch.nn import functional

from models.starter_image.autoencoder import CLUTTER_SHARE, EDGE_WEIGHT, clutter
from models.starter_image.clock import cpu_minutes
from models.starter_image.muon import Muon
from models.starter_image.scenes import BACKGROUNDS, COLOURS, SIDE, split
from models.starter_video.clips import FRAMES, Film, draw, random_clip
from models.starter_video.networks import PATCH

FRAME_SHARE = 0.35
"""Of the time, for single frames."""
FRAME_BATCH, CLIP_BATCH, CUT_BATCH = 16, 3, 8
CUT, CUT_SHARE = 32, 0.6
"""Side of the cut-outs in pixels, and the share of each part's time that is theirs."""
CLIP_FRAMES = 9
"""The first, the second and a later latent frame: each is made in another way."""
KERNEL_RATE, RATE = 4e-3, 1e-3
LATER = 0.5
"""Share of the rates at which a trained autoencoder is trained on."""
KL_WEIGHT = 5e-5
"""Of the divergence summed over a latent cell's channels, against the mean absolute error."""
ANYWHERE_SHARE = 0.6
HARD_SHARE = 0.4
"""Of the films, for what is hard to keep sharp."""
FAINT = 150.0
"""Distance of two colours below which a shape is hard to see."""
DECODER_NOISE = 0.5
"""Of the latents' own."""
MEAN_CONTRAST = 0.3
EDGES = (
    "encoder.conv_in",
    "encoder.conv_out",
    "quant_conv",
    "post_quant_conv",
    "decoder.conv_in",
    "decoder.conv_out",
)
"""Layers that touch pixels or latents."""


def as_tensor(films: list[Film]) -> torch.Tensor:
    """uint8 films as a model takes them: [n, 3, frames, side, side] in -1..1."""
    stacked = torch.from_numpy(np.stack(films)).permute(0, 4, 1, 2, 3).float()
    return stacked / 127.5 - 1


def films(rng: np.random.Generator, count: int, frames: int) -> list[Film]:
    """Films to learn from; a few show unmoving clutter, so that uploaded pictures survive too."""
    allowed, _ = split()
    hard = [one for one in allowed if _is_hard(*one)]
    found = []
    for _ in range(count):
        if rng.random() < CLUTTER_SHARE:
            found.append(np.repeat(clutter(rng)[None], frames, axis=0))
            continue
        scenes = hard if rng.random() < HARD_SHARE else allowed
        clip = random_clip(rng, scenes, anywhere=rng.random() < ANYWHERE_SHARE)
        film = draw(clip, rng)
        first = int(rng.integers(len(film) - frames + 1))
        found.append(film[first : first + frames])
    return found


def _is_hard(colour: str, shape: str, background: str) -> bool:
    """Points, and colours near their background's: what is rounded first."""
    distance = np.subtract(COLOURS[colour], BACKGROUNDS[background])
    return shape == "star" or bool(np.linalg.norm(distance) < FAINT)


def _cut(film: Film, rng: np.random.Generator) -> Film:
    """Any square of `CUT` pixels."""
    top, left = rng.integers(SIDE - CUT + 1, size=2)
    return film[:, top : top + CUT, left : left + CUT]


@contextmanager
def single_frames() -> Iterator[None]:
    """Within, a causal convolution over one frame without a past uses its last slice alone."""
    whole = WanCausalConv3d.forward
    WanCausalConv3d.forward = _last_slice
    try:
        yield
    finally:
        WanCausalConv3d.forward = whole


def _last_slice(conv: Any, frame: torch.Tensor, past: None = None) -> torch.Tensor:
    assert frame.shape[2] == 1
    assert past is None
    around = (conv.kernel_size[1] // 2, conv.kernel_size[2] // 2)
    found = functional.conv2d(frame[:, :, 0], conv.weight[:, :, -1], conv.bias, padding=around)
    return found[:, :, None]


def decoded(model: Any, latents: torch.Tensor) -> torch.Tensor:
    """As `model.decode`, but without a clamp: what is clamped learns nothing."""
    convolutions = sum(isinstance(m, WanCausalConv3d) for m in model.decoder.modules())
    past: list[Any] = [None] * convolutions
    states = model.post_quant_conv(latents)
    frames = [
        model.decoder(states[:, :, i : i + 1], feat_cache=past, feat_idx=[0], first_chunk=i == 0)
        for i in range(states.shape[2])
    ]
    return torch.as_tensor(unpatchify(torch.cat(frames, dim=2), patch_size=PATCH))


def loss_of(model: Any, shown: torch.Tensor) -> torch.Tensor:
    """Errors of what is drawn, and the latents' divergence from a normal prior."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        latents = model.encode(shown).latent_dist
        drawn = decoded(model, latents.sample()).float()
    mean, log_variance = latents.mean.float(), latents.logvar.float()
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)
    return _weighted(drawn, shown) + KL_WEIGHT * divergence.sum(dim=1).mean()


def _weighted(drawn: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    """Mean error of the clips; faint shapes count as much as clear ones."""
    contrast = shown.std(dim=(1, 2, 3, 4)).clamp(0.08, 1)
    return (_error(drawn, shown) * (MEAN_CONTRAST / contrast)).mean()


def _error(drawn: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    """Absolute error, and error of the edges in space and time, of each clip: [n]."""
    error = (drawn - shown).abs().mean(dim=(1, 2, 3, 4))
    for axis in (2, 3, 4):
        if shown.shape[axis] > 1:
            edges = torch.diff(drawn, dim=axis) - torch.diff(shown, dim=axis)
            error = error + EDGE_WEIGHT * edges.abs().mean(dim=(1, 2, 3, 4))
    return error


def train_autoencoder(model: Any, minutes: float, seed: int, *, from_nothing: bool) -> None:
    """Train for so many minutes of CPU time, then note the latents' spread in the config.

    A trained one sees no single frames and learns at a lower rate.
    """
    rng = np.random.default_rng(seed)
    alone = FRAME_SHARE if from_nothing else 0.0
    _train(
        model.named_parameters(),
        minutes,
        lambda done: _loss(model, rng, done, alone=alone),
        1.0 if from_nothing else LATER,
    )
    note_spread(model, rng)


def train_decoder(model: Any, minutes: float, seed: int) -> None:
    """Train the decoder alone: latents, and with them the denoiser, stay what they are."""
    rng = np.random.default_rng(seed)
    named = [(n, p) for n, p in model.named_parameters() if n.startswith(("decoder.", "post_"))]
    _train(named, minutes, lambda done: _decoder_loss(model, rng, done), LATER)


def _train(
    named: Iterable[tuple[str, Any]],
    minutes: float,
    loss_at: Callable[[float], torch.Tensor],
    pace: float,
) -> None:
    parameters = list(named)
    optimizers = _optimizers(parameters)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    rates = [group["lr"] * pace for group in groups]
    smooth, step, began = 0.0, 0, cpu_minutes()
    while (done := (cpu_minutes() - began) / minutes) < 1:
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate * min(1.0, (step + 1) / 50) * min(1.0, 1.4 * (1 - done))
        loss = loss_at(done)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for _, p in parameters], 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        smooth = loss.item() if step == 0 else 0.98 * smooth + 0.02 * loss.item()
        if step % 50 == 0:
            print(f"autoencoder step {step} loss {smooth:.4f} {done:.1%}", flush=True)
        step += 1


def _loss(model: Any, rng: np.random.Generator, done: float, *, alone: float) -> torch.Tensor:
    """Loss of one batch; of single frames for the share `alone` of the time."""
    single = done < alone
    within = done / alone if single else (done - alone) / (1 - alone)
    cut = within < CUT_SHARE
    if single:
        batch = films(rng, FRAME_BATCH * (2 if cut else 1), 1)
    else:
        batch = films(rng, CUT_BATCH if cut else CLIP_BATCH, CLIP_FRAMES)
    shown = as_tensor([_cut(film, rng) for film in batch] if cut else batch)
    with single_frames() if single else nullcontext():
        return loss_of(model, shown)


def _decoder_loss(model: Any, rng: np.random.Generator, done: float) -> torch.Tensor:
    """Error at little noise, as a denoiser leaves it."""
    cut = done < CUT_SHARE
    batch = films(rng, CUT_BATCH if cut else CLIP_BATCH, CLIP_FRAMES)
    shown = as_tensor(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with torch.no_grad():
            latents = model.encode(shown).latent_dist
        noise = torch.randn_like(latents.mean) * latents.std * DECODER_NOISE
        latents = latents.mode() + noise
        if cut:
            top, left = (int(start) for start in rng.integers(5, size=2))
            latents = latents[..., top : top + 4, left : left + 4]
            shown = shown[..., top * 8 : top * 8 + CUT, left * 8 : left * 8 + CUT]
        drawn = decoded(model, latents).float()
    return _weighted(drawn, shown)


def _optimizers(named: list[tuple[str, Any]]) -> list[Any]:
    inner = {n for n, p in named if p.ndim in (4, 5) and not n.startswith(EDGES)}
    kernels = [p for n, p in named if n in inner]
    rest = [p for n, p in named if n not in inner]
    adam = torch.optim.AdamW(rest, lr=RATE, betas=(0.9, 0.98), weight_decay=0)
    return [Muon(kernels, lr=KERNEL_RATE), adam]


def note_spread(model: Any, rng: np.random.Generator) -> None:
    """Mean and spread of each latent channel: pipelines make latents unit size with them.

    The spread is that of samples, not of means: channels that say nothing stay small then.
    """
    with torch.no_grad():
        shown = [as_tensor(films(rng, 8, FRAMES)) for _ in range(8)]
        found = [model.encode(one).latent_dist for one in shown]
    samples = torch.cat([one.sample() for one in found])
    noise = torch.cat([one.std for one in found]).mean(dim=(0, 2, 3, 4))
    mean, spread = samples.mean(dim=(0, 2, 3, 4)), samples.std(dim=(0, 2, 3, 4))
    print(f"latent std {spread.numpy().round(2)}, noise {noise.numpy().round(2)}", flush=True)
    model.register_to_config(
        latents_mean=[round(float(value), 4) for value in mean],
        latents_std=[round(float(value), 4) for value in spread],
    )
