"""Train starter-vision from nothing: ``python -m models.starter_vision.train --minutes 28``.

One CPU thread, pictures and questions drawn on the fly. First the encoder learns to look: linear
heads beside it (thrown away) ask for outline, place, colour, shape and background. Then everything
learns to answer; each picture is asked several questions, so that it is encoded once for all of
them. The schedule follows the clock: scores repeat within noise, weights do not repeat bit by bit.
It measures nothing: ``evaluate`` does.
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
    draw,
    random_scene,
    split,
)
from models.starter_vision import WEIGHTS, questions
from models.starter_vision.architecture import MEAN, PATCH, SIDE, STD, VISION, new_model, save
from models.starter_vision.pictures import cropped, outline, picture
from models.starter_vision.tokenizer import ASSISTANT, END, IMAGE, PAD, USER, build

BATCH = 32
ASKED_EACH = 3
BLIND_EVERY = 25
PICTURE_TOKENS = (SIDE // PATCH) ** 2
NO_TARGET = -100
SAVE_EVERY_MINUTES = 3.0
WORN = 0.8
HINT_WEIGHT, OUTLINE_WEIGHT, PLACE_WEIGHT = 0.3, 3.0, 20.0
OUTLINE_LAYER = 2
"""Layer of the encoder that must know figure from ground, so that the later ones know shapes."""


@dataclass(frozen=True)
class Options:
    minutes: float
    out: Path
    seed: int
    adam_rate: float
    muon_rate: float
    look: float = 0.4
    """Share of the time in which the encoder learns alone."""
    start: Path | None = None
    """Weights to go on from, with their tokenizer."""


@dataclass(frozen=True)
class Batch:
    """`ids` and `labels` are [rows, length]; labels are the next tokens, or `NO_TARGET`."""

    ids: torch.Tensor
    labels: torch.Tensor
    seen: "Seen | None"


@dataclass(frozen=True)
class Seen:
    """What the heads beside the encoder must find."""

    pixels: torch.Tensor
    """[rows, 3, side, side]."""
    facts: torch.Tensor
    """[rows, 3]: indices of colour, shape and background."""
    places: torch.Tensor
    """[rows, 3]: x, y and radius of the shape, in picture sides."""
    outlines: torch.Tensor
    """[rows, patches, pixels of a patch]: how much of each pixel the shape covers."""


class Hints(nn.Module):  # type: ignore[misc]
    """Linear heads: the outline from a middle layer, the rest from the mean of the last."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        width = int(VISION["hidden_size"])
        counts = (len(COLOURS), len(SHAPES), len(BACKGROUNDS))
        self.heads = nn.ModuleList(nn.Linear(width, count) for count in counts)
        self.place = nn.Linear(width, 3)
        self.outline = nn.Linear(width, PATCH * PATCH)
        self._middle: torch.Tensor | None = None
        encoder.encoder.layers[OUTLINE_LAYER].register_forward_hook(self._keep)

    def forward(self, patches: torch.Tensor, seen: Seen) -> tuple[torch.Tensor, torch.Tensor]:
        """(loss of everything that is asked, share of shapes that are right)."""
        mean = patches.float().mean(dim=1)
        found = [head(mean) for head in self.heads]
        losses = [functional.cross_entropy(f, seen.facts[:, i]) for i, f in enumerate(found)]
        assert self._middle is not None
        drawn = self.outline(self._middle[:, 1:].float())
        outline = functional.binary_cross_entropy_with_logits(drawn, seen.outlines)
        place = functional.mse_loss(self.place(mean), seen.places)
        right = (found[1].argmax(dim=1) == seen.facts[:, 1]).float().mean()
        return torch.stack(losses).sum() + OUTLINE_WEIGHT * outline + PLACE_WEIGHT * place, right

    def _keep(self, _: nn.Module, __: Any, output: Any) -> None:
        self._middle = output if isinstance(output, torch.Tensor) else output[0]


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

    def looking(self, worn: float) -> Seen:
        """Pictures without questions; a share `worn` of them is not clean."""
        return self._seen(self._scenes(), worn)

    def _scenes(self) -> list[Scene]:
        scenes = [random_scene(self.generator, self.allowed) for _ in range(BATCH)]
        return [cropped(self.rng, s) if self.rng.random() < 0.25 else s for s in scenes]

    def _seen(self, scenes: list[Scene], worn: float) -> Seen:
        drawn = [
            picture(self.rng, s) if self.rng.random() < worn else draw(s, self.generator)
            for s in scenes
        ]
        outlines = torch.from_numpy(np.stack([outline(s) for s in scenes])).float()
        return Seen(
            normalised(torch.from_numpy(np.stack(drawn))),
            torch.tensor([_facts(scene) for scene in scenes]),
            torch.tensor([(scene.x, scene.y, scene.radius) for scene in scenes]),
            in_patches(outlines),
        )

    def _seeing(self) -> Batch:
        scenes = self._scenes()
        turns = [[questions.draw(self.rng, s) for _ in range(ASKED_EACH)] for s in scenes]
        ids, labels = self._tensors(
            [_conversation(asked, IMAGE * PICTURE_TOKENS) for asked in turns]
        )
        return Batch(ids, labels, self._seen(scenes, WORN))

    def _blind(self) -> Batch:
        scenes = [random_scene(self.generator, self.allowed) for _ in range(BATCH)]
        turns = [[questions.draw_blind(self.rng, scene)] for scene in scenes]
        ids, labels = self._tensors([_conversation(asked, "") for asked in turns])
        return Batch(ids, labels, None)

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


def in_patches(values: torch.Tensor) -> torch.Tensor:
    """[n, side, side] as [n, patches, pixels of a patch], in the encoder's order."""
    across = SIDE // PATCH
    split_up = values.view(-1, across, PATCH, across, PATCH)
    return split_up.permute(0, 1, 3, 2, 4).reshape(-1, across * across, PATCH * PATCH)


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
        self.hints = Hints(self.model.model.vision_tower)
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

    def look(self, seen: Seen, share: float) -> tuple[float, float]:
        """One update of the encoder alone; returns (hint loss, share of shapes that are right)."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = self.model.model.get_image_features(
                seen.pixels, vision_feature_layer=-1, vision_feature_select_strategy="default"
            )
            loss, right = self.hints(torch.stack(tuple(found.pooler_output)), seen)
        self._update(loss, share)
        return float(loss.item()), float(right)

    def step(self, batch: Batch, share: float) -> tuple[float, float]:
        """One update of everything; returns (answer loss, share of shapes that are right)."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, hint, right = self._losses(batch)
        self._update(loss + HINT_WEIGHT * hint, share)
        return float(loss.item()), float(right)

    def _update(self, loss: torch.Tensor, share: float) -> None:
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for group, rate in zip(self.groups, self.rates, strict=True):
            group["lr"] = rate * share
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()

    def _losses(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        pixels = None if batch.seen is None else batch.seen.pixels
        found: Any = self.model.model(input_ids=batch.ids, pixel_values=pixels, use_cache=False)
        wanted = batch.labels != NO_TARGET
        logits = self.model.lm_head(found.last_hidden_state[wanted]).float()
        loss = functional.cross_entropy(logits, batch.labels[wanted])
        if batch.seen is None:
            return loss, torch.zeros(()), torch.ones(())
        patches = found.image_hidden_states.view(len(batch.ids), PICTURE_TOKENS, -1)
        return loss, *self.hints(patches, batch.seen)

    def save(self) -> None:
        save(self.model, self.tokenizer, self.options.out)


def train(options: Options) -> None:
    """The whole run; a checkpoint in `out` every few minutes."""
    torch.set_num_threads(1)
    run = Run(options)
    parameters = sum(p.numel() for p in run.model.parameters())
    print(f"{parameters:,} parameters, {run.tokenizer.get_vocab_size()} tokens", flush=True)
    examples = Examples(run.tokenizer, options.seed)
    answering = iter(examples)
    saved, step, smooth = 0.0, 0, [math.nan, math.nan]
    while run.done < 1:
        share = pace(step, run.done)
        if looking := run.done < options.look:
            found = run.look(examples.looking(worn=WORN * run.done / options.look), share)
        else:
            found = run.step(next(answering), share)
        mix = 0.98 if step else 0.0
        smooth = [
            mix * s + (1 - mix) * f if step else f for s, f in zip(smooth, found, strict=True)
        ]
        if step % 100 == 0:
            stage = "looking" if looking else "answering"
            loss, shapes = smooth
            print(f"{stage} {step} loss {loss:.4f} shapes {shapes:.3f} {run.done:.1%}", flush=True)
        if run.minutes - saved > SAVE_EVERY_MINUTES:
            saved = run.minutes
            run.save()
        step += 1
    run.save()
    print(f"{step} steps in {run.minutes:.1f} minutes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=28.0)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--look", type=float, default=0.4, help="share for the encoder alone")
    parser.add_argument("--start", type=Path, help="folder of weights to go on from")
    parser.add_argument("--muon-rate", type=float, default=0.003, help="0: AdamW for all")
    parser.add_argument("--adam-rate", type=float, default=2e-3)
    train(Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
