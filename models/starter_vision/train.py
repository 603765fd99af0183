"""Train starter-vision from nothing: ``python -m models.starter_vision.train --minutes 28``.

One CPU thread, pictures and questions drawn on the fly, loss on the answers. Each picture is asked
several questions, so that it is encoded once for all of them; three linear heads beside the
encoder (thrown away) tell it early what matters. The schedule follows the clock: scores repeat
within noise, weights do not repeat bit by bit. It measures nothing: ``evaluate`` does.
"""

import argparse
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional
from transformers import LlavaForConditionalGeneration

from models.starter_image.scenes import (
    BACKGROUNDS,
    COLOURS,
    SHAPES,
    Scene,
    random_scene,
    split,
)
from models.starter_vision import WEIGHTS, questions
from models.starter_vision.architecture import MEAN, PATCH, SIDE, STD, VISION, new_model, save
from models.starter_vision.pictures import picture
from models.starter_vision.tokenizer import ASSISTANT, END, IMAGE, PAD, USER, build

BATCH = 32
ASKED_EACH = 3
BLIND_EVERY = 25
PICTURE_TOKENS = (SIDE // PATCH) ** 2
NO_TARGET = -100
SAVE_EVERY_MINUTES = 3.0
HINT_WEIGHT = 0.3


@dataclass(frozen=True)
class Options:
    minutes: float
    out: Path
    seed: int
    adam_rate: float
    muon_rate: float
    start: Path | None = None
    """Weights to go on from, with their tokenizer."""


@dataclass(frozen=True)
class Batch:
    """`ids` and `labels` are [rows, length]; labels are the next tokens, or `NO_TARGET`."""

    ids: torch.Tensor
    labels: torch.Tensor
    pixels: torch.Tensor | None
    facts: torch.Tensor | None
    """[rows, 3]: indices of colour, shape and background."""


class Hints(nn.Module):  # type: ignore[misc]
    """Colour, shape and background, read from the mean of the encoded patches."""

    def __init__(self) -> None:
        super().__init__()
        width = int(VISION["hidden_size"])
        counts = (len(COLOURS), len(SHAPES), len(BACKGROUNDS))
        self.heads = nn.ModuleList(nn.Linear(width, count) for count in counts)

    def forward(self, patches: torch.Tensor, facts: torch.Tensor) -> torch.Tensor:
        mean = patches.mean(dim=1)
        losses = [functional.cross_entropy(h(mean), facts[:, i]) for i, h in enumerate(self.heads)]
        return torch.stack(losses).sum()


class Examples:
    """Endless batches."""

    def __init__(self, tokenizer: Tokenizer, seed: int) -> None:
        self.tokenizer = tokenizer
        self.rng = random.Random(seed)
        self.generator = np.random.default_rng(seed)
        self.allowed, _ = split()

    def __iter__(self) -> Iterator[Batch]:
        count = 0
        while True:
            count += 1
            yield self._blind() if count % BLIND_EVERY == 0 else self._seeing()

    def _seeing(self) -> Batch:
        scenes = [random_scene(self.generator, self.allowed) for _ in range(BATCH)]
        turns = [[questions.draw(self.rng, s) for _ in range(ASKED_EACH)] for s in scenes]
        ids, labels = self._tensors(
            [_conversation(asked, IMAGE * PICTURE_TOKENS) for asked in turns]
        )
        pixels = torch.from_numpy(np.stack([picture(self.rng, scene) for scene in scenes]))
        return Batch(ids, labels, normalised(pixels), torch.tensor([_facts(s) for s in scenes]))

    def _blind(self) -> Batch:
        scenes = [random_scene(self.generator, self.allowed) for _ in range(BATCH)]
        turns = [[questions.draw_blind(self.rng, scene)] for scene in scenes]
        ids, labels = self._tensors([_conversation(asked, "") for asked in turns])
        return Batch(ids, labels, None, None)

    def _tensors(self, rows: list[list[tuple[str, bool]]]) -> tuple[torch.Tensor, torch.Tensor]:
        encoded = [self._encoded(row) for row in rows]
        length = max(len(ids) for ids, _ in encoded)
        pad = self.tokenizer.token_to_id(PAD)
        ids = torch.full((len(rows), length), pad)
        labels = torch.full((len(rows), length), NO_TARGET)
        for row, (found, wanted) in enumerate(encoded):
            ids[row, : len(found)] = torch.tensor(found)
            labels[row, : len(found)] = torch.tensor(wanted)
        return ids[:, :-1], labels[:, 1:]

    def _encoded(self, row: list[tuple[str, bool]]) -> tuple[list[int], list[int]]:
        """Token ids, and the same again where they are to be learnt."""
        ids: list[int] = []
        labels: list[int] = []
        for text, learnt in row:
            found = self.tokenizer.encode(text, add_special_tokens=False).ids
            ids += found
            labels += found if learnt else [NO_TARGET] * len(found)
        return ids, labels


def _conversation(asked: Sequence[questions.Asked], start: str) -> list[tuple[str, bool]]:
    """Pieces of text as the chat template writes them; True: to be learnt."""
    pieces: list[tuple[str, bool]] = []
    for turn, one in enumerate(asked):
        shown = start if turn == 0 else ""
        pieces.append((f"{USER}{shown}{one.question}{END}{ASSISTANT}", False))
        pieces.append((f"{one.answer}{END}", True))
    return pieces


def _facts(scene: Scene) -> list[int]:
    return [
        list(COLOURS).index(scene.colour),
        SHAPES.index(scene.shape),
        list(BACKGROUNDS).index(scene.background),
    ]


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 [n, side, side, 3] as the image processor makes it: [n, 3, side, side]."""
    values = pixels.permute(0, 3, 1, 2).float() / 255
    return (values - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)


def first_tokenizer(seed: int) -> Tokenizer:
    generator = np.random.default_rng(seed)
    allowed, _ = split()
    scenes = (random_scene(generator, allowed) for _ in range(20_000))
    return build(questions.texts(random.Random(seed), scenes))


def pace(step: int, done: float) -> float:
    """Share of the full rate: warm-up, then a cosine over the time budget down to zero."""
    return min(1.0, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def optimizers(
    model: LlavaForConditionalGeneration, hints: Hints, options: Options
) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices (it learns faster than AdamW here), AdamW for the rest."""
    named = [*model.named_parameters(), *hints.named_parameters()]
    matrices = [p for name, p in named if p.ndim == 2 and "layers." in name]
    rest = [p for name, p in named if not (p.ndim == 2 and "layers." in name)]
    adam = torch.optim.AdamW(rest, lr=options.adam_rate, betas=(0.9, 0.98), weight_decay=0.01)
    if options.muon_rate == 0:
        whole = torch.optim.AdamW(
            matrices, lr=options.adam_rate, betas=(0.9, 0.98), weight_decay=0.02
        )
        return [adam, whole]
    muon = torch.optim.Muon(
        matrices,
        lr=options.muon_rate,
        momentum=0.95,
        weight_decay=0.02,
        adjust_lr_fn="match_rms_adamw",
    )
    return [adam, muon]


class Run:
    """One training run: model, optimizer and the clock."""

    def __init__(self, options: Options) -> None:
        torch.manual_seed(options.seed)
        self.options = options
        if options.start:
            self.tokenizer = Tokenizer.from_file(str(options.start / "tokenizer.json"))
            self.model = LlavaForConditionalGeneration.from_pretrained(
                options.start, dtype=torch.float32, attn_implementation="eager"
            )
        else:
            self.tokenizer = first_tokenizer(options.seed)
            self.model = new_model(self.tokenizer)
        self.hints = Hints()
        self.optimizers = optimizers(self.model, self.hints, options)
        self.groups = [group for o in self.optimizers for group in o.param_groups]
        self.rates = [group["lr"] for group in self.groups]
        self.began = time.monotonic()

    @property
    def minutes(self) -> float:
        return (time.monotonic() - self.began) / 60

    @property
    def done(self) -> float:
        """Share of the time budget that is spent."""
        return self.minutes / self.options.minutes

    def step(self, batch: Batch, share: float) -> tuple[float, float]:
        """One update at `share` of the full rate; returns (answer loss, hint loss)."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, hint = self._losses(batch)
        (loss + HINT_WEIGHT * hint).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for group, rate in zip(self.groups, self.rates, strict=True):
            group["lr"] = rate * share
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return float(loss.item()), float(hint.item())

    def _losses(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        inner = self.model.model
        found: Any = inner(input_ids=batch.ids, pixel_values=batch.pixels, use_cache=False)
        wanted = batch.labels != NO_TARGET
        logits = self.model.lm_head(found.last_hidden_state[wanted]).float()
        loss = functional.cross_entropy(logits, batch.labels[wanted])
        if batch.facts is None:
            return loss, torch.zeros(())
        patches = found.image_hidden_states.view(len(batch.ids), PICTURE_TOKENS, -1)
        return loss, self.hints(patches.float(), batch.facts)

    def save(self) -> None:
        save(self.model, self.tokenizer, self.options.out)


def train(options: Options) -> None:
    """The whole run; a checkpoint in `out` every few minutes."""
    torch.set_num_threads(1)
    run = Run(options)
    parameters = sum(p.numel() for p in run.model.parameters())
    print(f"{parameters:,} parameters, {run.tokenizer.get_vocab_size()} tokens", flush=True)
    saved, smooth = 0.0, [math.nan, math.nan]
    for step, batch in enumerate(Examples(run.tokenizer, options.seed)):
        if run.done >= 1:
            break
        losses = run.step(batch, pace(step, run.done))
        if batch.facts is not None:
            mix = 0.98 if step else 0.0
            smooth = [
                mix * (s if step else 0) + (1 - mix) * x
                for s, x in zip(smooth, losses, strict=True)
            ]
        if step % 100 == 0:
            answers, hints = smooth
            speed = step * BATCH / run.minutes / 60
            print(
                f"step {step} answers {answers:.4f} hints {hints:.4f} "
                f"{speed:.0f} pictures/s {run.done:.1%}",
                flush=True,
            )
        if run.minutes - saved > SAVE_EVERY_MINUTES:
            saved = run.minutes
            run.save()
    run.save()
    print(f"{step} steps in {run.minutes:.1f} minutes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=28.0)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=Path, help="folder of weights to go on from")
    parser.add_argument("--muon-rate", type=float, default=0.003, help="0: AdamW for all")
    parser.add_argument("--adam-rate", type=float, default=2e-3)
    train(Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
