"""Examples: an utterance as the network sees it, and what it shall say.

The features are faster-whisper's own, and short windows are filled up with zeros as it does, so
that training hears what serving hears.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from faster_whisper.feature_extractor import FeatureExtractor
from tokenizers import Tokenizer
from torch import Tensor

from models.starter_transcribe import vocabulary
from models.starter_transcribe.utterances import (
    CHUNK_S,
    Teller,
    Utterance,
    drawn,
    noise_alone,
    roughened,
    utterance,
)

FULL_FRAMES = 3000
NO_TARGET = -100
SILENT_SHARE = 0.04
PROMPT_SHARE = 0.1
TIMES_SHARE = 0.5
POOL = 192
LATEST_START_S = 1.0
"""Decoders refuse a first time mark later than this."""


@dataclass(frozen=True)
class Example:
    mels: Any
    """(80, frames) float32."""
    tokens: list[int]
    targets: list[int]
    """What follows each token, or `NO_TARGET`."""
    words: list[int]


@dataclass(frozen=True)
class Batch:
    mels: Tensor
    frames: Tensor
    tokens: Tensor
    targets: Tensor
    words: Tensor
    word_counts: Tensor


@dataclass(frozen=True)
class Stage:
    """How hard the examples are, by how far training is (0 to 1)."""

    longest: int
    many_share: float
    """Utterances of several sentences."""
    full_share: float
    """Batches of whole 30-second windows, mostly empty, as serving uses."""
    most_padding: int

    @classmethod
    def at(cls, done: float) -> "Stage":
        if done < 0.12:
            return cls(3, 0.0, 0.0, 40)
        if done < 0.45:
            return cls(8, 0.05, 0.0, 200)
        if done < 0.65:
            return cls(8, 0.3, 0.06, 600)
        return cls(8, 0.35, 0.15, 1000)


class Examples:
    """Draws examples without end."""

    def __init__(self, tokenizer: Tokenizer, teller: Teller, seed: int) -> None:
        self._rng = random.Random(seed)
        self._tell = teller
        self._tokenizer = tokenizer
        self._features = FeatureExtractor()
        self._words = {
            tokenizer.encode(f" {word}").ids[0]: index
            for index, word in enumerate(vocabulary.WORDS)
        }
        self.mark = {mark: vocabulary.id_of(tokenizer, mark) for mark in vocabulary.MARKS}

    def batches(self, stage: Stage, frames: int) -> Iterator[Batch]:
        """One pool of examples as batches of about `frames` padded frames, alike in length."""
        rng = self._rng
        pool = sorted((self._draw(stage) for _ in range(POOL)), key=lambda e: e.mels.shape[1])
        groups, group = [], list[Example]()
        for example in pool:
            if group and example.mels.shape[1] * (len(group) + 1) > frames:
                groups.append(group)
                group = []
            group.append(example)
        groups.append(group)
        rng.shuffle(groups)
        for group in groups:
            if rng.random() < stage.full_share:
                yield self._collate(rng.sample(group, min(4, len(group))), FULL_FRAMES)
            longest = max(example.mels.shape[1] for example in group)
            extra = int(stage.most_padding ** rng.random())
            keep = max(1, int(frames / (longest + extra)))
            yield self._collate(group[:keep], min(FULL_FRAMES, longest + extra))

    def _draw(self, stage: Stage) -> Example:
        rng = self._rng
        if rng.random() < SILENT_SHARE:
            spoken = noise_alone(rng)
            return self._example(spoken, spoken.samples)
        count = rng.randint(2, 4) if rng.random() < stage.many_share else 1
        lines = [self._tell(rng, stage.longest) for _ in range(count)]
        spoken = utterance(rng, lines)
        return self._example(spoken, roughened(spoken.samples, rng))

    def _example(self, spoken: Utterance, samples: Any) -> Example:
        rng = self._rng
        mels = self._features(samples)
        if rng.random() < 0.4:
            low, height = rng.randint(0, 70), rng.randint(2, 10)
            mels = mels.copy()
            mels[low : low + height] = mels.mean()
        tokens, targets = self._script(spoken, times=rng.random() < TIMES_SHARE)
        words = [
            self._words[token]
            for segment in spoken.segments
            if segment.end <= CHUNK_S
            for token in self._tokenizer.encode(f" {segment.text}").ids
        ]
        return Example(mels.astype(np.float32), tokens, targets, words)

    def _script(self, spoken: Utterance, *, times: bool) -> tuple[list[int], list[int]]:
        """Tokens, and for each what follows it."""
        mark = self.mark
        head = [mark[vocabulary.START]]
        if not times:
            head.append(mark[vocabulary.NO_TIMES])
        body = self._body(spoken, times=times)
        tokens = [*head, *body, mark[vocabulary.END]]
        targets = [NO_TARGET] * (len(head) - 1) + [*body, mark[vocabulary.END], NO_TARGET]
        if not spoken.segments:
            targets[0] = mark[vocabulary.SILENCE]
        if self._rng.random() < PROMPT_SHARE:
            text = " " + drawn(self._rng)
            prompt = [mark[vocabulary.PREVIOUS], *self._tokenizer.encode(text).ids]
            tokens = prompt + tokens
            targets = [NO_TARGET] * len(prompt) + targets
        return tokens, targets

    def _body(self, spoken: Utterance, *, times: bool) -> list[int]:
        body: list[int] = []
        for index, segment in enumerate(spoken.segments):
            whole = segment.end <= CHUNK_S
            start = min(segment.start, LATEST_START_S) if index == 0 else segment.start
            if times:
                body.append(self._time(start))
            if whole:
                body += self._tokenizer.encode(f" {segment.text}").ids
            if times and whole:
                body.append(self._time(segment.end))
        if times and not spoken.segments:
            body.append(self._time(0))
        return body

    def _time(self, seconds: float) -> int:
        return vocabulary.id_of(self._tokenizer, vocabulary.time_token(seconds))

    def _collate(self, group: list[Example], frames: int) -> Batch:
        mels = torch.zeros(len(group), 80, frames)
        length = max(len(example.tokens) for example in group)
        tokens = torch.full((len(group), length), self.mark[vocabulary.END])
        targets = torch.full((len(group), length), NO_TARGET)
        for index, example in enumerate(group):
            heard = torch.from_numpy(example.mels)
            mels[index, :, : heard.shape[1]] = heard
            tokens[index, : len(example.tokens)] = torch.tensor(example.tokens)
            targets[index, : len(example.targets)] = torch.tensor(example.targets)
        return Batch(
            mels,
            torch.tensor([(example.mels.shape[1] + 1) // 2 for example in group]),
            tokens,
            targets,
            torch.tensor([word for example in group for word in example.words]),
            torch.tensor([len(example.words) for example in group]),
        )
