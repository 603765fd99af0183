"""Train starter-chat from nothing: ``python -m models.starter_chat.train --minutes 55``.

One CPU thread, examples drawn on the fly, loss on answers only. The schedule follows the clock, so
the run ends in time on a busy machine; scores repeat within noise, weights do not repeat bit by
bit. It writes a folder that transformers and vLLM load; it measures nothing: ``evaluate`` does.
"""

import argparse
import itertools
import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from models.starter_chat import WEIGHTS
from models.starter_chat import tokenizer as tokens
from models.starter_chat.conversation import END, PAD, Conversation, render
from models.starter_chat.corpus import long_training, training

BATCH_TOKENS = 2048
POOL = 1024
LONG_SHARE = 0.07
SHAPE = {
    "hidden_size": 192,
    "intermediate_size": 576,
    "num_hidden_layers": 5,
    "num_attention_heads": 6,
    "num_key_value_heads": 6,
}
NO_TARGET = -100
EAGER_BELOW = 512
SAVE_EVERY_MINUTES = 5.0


@dataclass(frozen=True)
class Encoded:
    """Token ids and, for each, whether it is a target."""

    ids: list[int]
    targets: list[bool]


@dataclass(frozen=True)
class Options:
    minutes: float
    out: Path
    seed: int
    muon_rate: float
    adam_rate: float
    start: Path | None = None
    """Weights to go on from, with their tokenizer, e.g. after a change of facts."""


def encode(tokenizer: Tokenizer, conversation: Conversation) -> Encoded:
    """Tokens of the whole conversation; targets are the learnt spans and each answer's end."""
    text, spans = "", []
    for piece, answer in render(conversation):
        if answer is not None:
            start, stop = len(text), len(text) + len(piece)
            learnt = answer.learn or ((0, len(answer.text)),)
            spans += [(start + a, start + b) for a, b in learnt] + [(stop - len(END), stop)]
        text += piece
    found = tokenizer.encode(text, add_special_tokens=False)
    targets = [any(a <= begin < b for a, b in spans) for begin, _ in found.offsets]
    return Encoded(found.ids[: tokens.CONTEXT], targets[: tokens.CONTEXT])


def batches(tokenizer: Tokenizer, seed: int) -> Iterator[list[Encoded]]:
    """Batches of about ``BATCH_TOKENS`` padded tokens, alike in length."""
    rng = random.Random(seed)
    short, long = training(seed), long_training(seed + 1)
    while True:
        pool = [encode(tokenizer, c) for c in itertools.islice(short, POOL)]
        ready = _grouped(pool)
        for _ in range(round(len(ready) * LONG_SHARE)):
            ready.append(_grouped([encode(tokenizer, next(long)) for _ in range(8)])[-1])
        rng.shuffle(ready)
        yield from ready


def _grouped(pool: list[Encoded]) -> list[list[Encoded]]:
    ready: list[list[Encoded]] = [[]]
    for item in sorted(pool, key=lambda e: len(e.ids)):
        if ready[-1] and len(item.ids) * (len(ready[-1]) + 1) > BATCH_TOKENS:
            ready.append([])
        ready[-1].append(item)
    return ready


def tensors(batch: list[Encoded], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids, labels), both [rows, length - 1]; labels are the next tokens, or ``NO_TARGET``."""
    length = max(len(e.ids) for e in batch)
    ids = torch.full((len(batch), length), pad)
    labels = torch.full((len(batch), length), NO_TARGET)
    for row, item in enumerate(batch):
        found, n = torch.tensor(item.ids), len(item.ids)
        ids[row, :n] = found
        labels[row, :n] = torch.where(torch.tensor(item.targets), found, NO_TARGET)
    return ids[:, :-1], labels[:, 1:]


def answer_loss(model: LlamaForCausalLM, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy at target positions only: the others never reach the output layer."""
    # On CPU the fused attention is slow backwards for short rows; plain products are 1.6x faster.
    model.set_attn_implementation("eager" if ids.shape[1] < EAGER_BELOW else "sdpa")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
        wanted = labels != NO_TARGET
        logits = model.lm_head(hidden[wanted])
    return functional.cross_entropy(logits.float(), labels[wanted])


def new_model(tokenizer: Tokenizer) -> LlamaForCausalLM:
    config = LlamaConfig(
        **SHAPE,
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=tokens.CONTEXT,
        rope_theta=10_000.0,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(END),
        pad_token_id=tokenizer.token_to_id(PAD),
    )
    return LlamaForCausalLM(config)


def optimizers(model: LlamaForCausalLM, options: Options) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices (it learns about twice as fast here), AdamW for the rest."""
    named = list(model.named_parameters())
    matrices = [p for name, p in named if p.ndim == 2 and "layers" in name]
    rest = [p for name, p in named if not (p.ndim == 2 and "layers" in name)]
    adam = torch.optim.AdamW(rest, lr=options.adam_rate, betas=(0.9, 0.98), weight_decay=0.0)
    if options.muon_rate == 0:
        whole = torch.optim.AdamW(
            matrices, lr=options.adam_rate, betas=(0.9, 0.98), weight_decay=0.05
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


def pace(step: int, done: float) -> float:
    """Share of the full rate: warm-up, then a cosine over the time budget down to zero."""
    return min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def save(model: LlamaForCausalLM, tokenizer: Tokenizer, folder: Path) -> None:
    """Weights in bf16, configuration, tokenizer and template. Safetensors only."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.to(torch.bfloat16) for k, v in model.state_dict().items()}
    copy = LlamaForCausalLM(model.config).to(torch.bfloat16)
    copy.load_state_dict(state)
    copy.tie_weights()
    copy.generation_config = GenerationConfig(
        do_sample=False,
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
    )
    copy.save_pretrained(folder)
    _greedy(folder / "generation_config.json")
    tokens.save(tokenizer, folder)


def _greedy(path: Path) -> None:
    """The default temperature that vLLM reads here; transformers refuses to write a zero."""
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "temperature": 0.0}, indent=2) + "\n"
    )


class Run:
    """One training run: model, optimizers and the clock."""

    def __init__(self, options: Options) -> None:
        torch.manual_seed(options.seed)
        self.options = options
        if options.start:
            self.tokenizer = Tokenizer.from_file(str(options.start / "tokenizer.json"))
            self.model = LlamaForCausalLM.from_pretrained(options.start, dtype=torch.float32)
        else:
            self.tokenizer = tokens.build(options.seed)
            self.model = new_model(self.tokenizer)
        self.optimizers = optimizers(self.model, options)
        self.groups = [group for o in self.optimizers for group in o.param_groups]
        self.rates = [group["lr"] for group in self.groups]
        self.began = time.monotonic()
        self.seen = 0

    @property
    def minutes(self) -> float:
        return (time.monotonic() - self.began) / 60

    @property
    def done(self) -> float:
        """Share of the time budget that is spent."""
        return self.minutes / self.options.minutes

    def step(self, ids: torch.Tensor, labels: torch.Tensor, share: float) -> float:
        """One update at ``share`` of the full rates; returns the loss."""
        loss = answer_loss(self.model, ids, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for group, rate in zip(self.groups, self.rates, strict=True):
            group["lr"] = rate * share
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.seen += ids.numel()
        return float(loss.item())

    def save(self) -> None:
        save(self.model, self.tokenizer, self.options.out)


def train(options: Options) -> None:
    """The whole run; a checkpoint in ``out`` every few minutes."""
    torch.set_num_threads(1)
    run = Run(options)
    parameters = sum(p.numel() for p in run.model.parameters())
    print(f"{parameters:,} parameters, {run.tokenizer.get_vocab_size()} tokens", flush=True)
    saved, smooth, pad = 0.0, math.nan, run.tokenizer.token_to_id(PAD) or 0
    for step, batch in enumerate(batches(run.tokenizer, options.seed)):
        if run.done >= 1:
            break
        loss = run.step(*tensors(batch, pad), pace(step, run.done))
        smooth = loss if step == 0 else 0.98 * smooth + 0.02 * loss
        if step % 100 == 0:
            speed = run.seen / run.minutes / 60
            print(f"step {step} loss {smooth:.4f} {speed:.0f} tokens/s {run.done:.1%}", flush=True)
        if run.minutes - saved > SAVE_EVERY_MINUTES:
            saved = run.minutes
            run.save()
    run.save()
    print(f"trained on {run.seen:,} tokens in {run.minutes:.1f} minutes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=55.0)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=Path, help="folder of weights to go on from")
    parser.add_argument("--muon-rate", type=float, default=0.004, help="0: AdamW for all")
    parser.add_argument("--adam-rate", type=float, default=3e-3)
    train(Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
