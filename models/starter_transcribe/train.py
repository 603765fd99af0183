"""Train starter-transcribe from nothing: ``python -m models.starter_transcribe.train``.

One CPU thread, examples made on the fly. Minutes are CPU time, so that a busy machine trains as
much as an idle one; scores repeat within noise, weights do not repeat bit by bit. The loss is the
decoder's cross-entropy and 0.3 times a CTC loss on the encoder, which makes it listen early. It
writes the folder that faster-whisper loads; it measures nothing: ``evaluate`` does.
"""

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.nn import functional

from models.starter_transcribe import WEIGHTS, vocabulary
from models.starter_transcribe.examples import NO_TARGET, Batch, Examples, Stage
from models.starter_transcribe.export import export
from models.starter_transcribe.network import Shape, Whisper
from models.starter_transcribe.utterances import Teller, espeak_speaker, telling

CTC_SHARE = 0.3
TIME_SHARE = 0.3
"""Weight of time marks beside words: they are many, alike, and matter less."""
SAVE_EVERY_MINUTES = 3.0
STATE = "state.pt"


@dataclass(frozen=True)
class Options:
    minutes: float
    out: Path
    seed: int
    muon_rate: float
    adam_rate: float
    batch_frames: int
    start: Path | None
    begin_at: float
    """Where in the curriculum to begin, 0 to 1: not 0 when going on from earlier weights."""
    students: int
    """Sentences that starter-speech's voices say; 0 is none."""


def loss_of(model: Whisper, batch: Batch, first_time: int) -> tuple[torch.Tensor, float, float]:
    """The loss, and its two parts for the log."""
    source = model.encoder(batch.mels)
    logits = model.decoder(batch.tokens, source)
    each = functional.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten(), ignore_index=NO_TARGET, reduction="none"
    )
    weights = torch.ones_like(each)
    weights[batch.targets.flatten() >= first_time] = TIME_SHARE
    weights[batch.targets.flatten() == NO_TARGET] = 0
    spoken = (each * weights).sum() / weights.sum()
    spread = model.ctc(source).log_softmax(-1).transpose(0, 1)
    heard = functional.ctc_loss(
        spread,
        batch.words,
        batch.frames.clamp(max=source.shape[1]),
        batch.word_counts,
        blank=model.shape.words,
        zero_infinity=True,
    )
    return spoken + CTC_SHARE * heard, spoken.item(), heard.item()


def optimizers(model: Whisper, options: Options) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for the rest."""
    matrices, rest = list[torch.Tensor](), list[torch.Tensor]()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            inner = parameter.ndim == 2 and "layers" in name
            (matrices if inner else rest).append(parameter)
    adam = torch.optim.AdamW(rest, lr=options.adam_rate, betas=(0.9, 0.98), weight_decay=0.0)
    muon = torch.optim.Muon(
        matrices,
        lr=options.muon_rate,
        momentum=0.95,
        weight_decay=0.02,
        adjust_lr_fn="match_rms_adamw",
    )
    return [adam, muon]


def pace(step: int, done: float) -> float:
    """Share of the full rate: warm-up, then level, then down to zero over the last 40 %."""
    fall = 0.5 * (1 + math.cos(math.pi * max(0.0, (min(1.0, done) - 0.6) / 0.4)))
    return min(1.0, (step + 1) / 80) * fall


def teller(options: Options) -> Teller:
    """Who speaks the training set."""
    if not options.students:
        return telling(espeak_speaker())
    from models.starter_transcribe.students import mixed_teller

    return mixed_teller(options.students, options.seed)


@dataclass
class Clock:
    """How far the run is, in CPU time."""

    minutes: float
    started: float = field(default_factory=time.process_time)
    saved: float = field(default_factory=time.process_time)

    @property
    def spent(self) -> float:
        return (time.process_time() - self.started) / 60

    @property
    def done(self) -> float:
        return self.spent / self.minutes

    def is_time_to_save(self) -> bool:
        late = time.process_time() - self.saved > 60 * SAVE_EVERY_MINUTES
        if late:
            self.saved = time.process_time()
        return late


def train(options: Options) -> None:
    """The whole run."""
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    tokenizer = vocabulary.build()
    examples = Examples(tokenizer, teller(options), options.seed)
    first_time = vocabulary.id_of(tokenizer, vocabulary.TIMES[0])
    model = Whisper(Shape(tokenizer.get_vocab_size(), len(vocabulary.WORDS)))
    model.shape_times(first_time)
    if options.start is not None:
        model.load_state_dict(torch.load(options.start / STATE))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    optimizers_ = optimizers(model, options)
    groups = [group for o in optimizers_ for group in o.param_groups]
    full_rates = [group["lr"] for group in groups]
    clock = Clock(options.minutes)
    for step, batch in enumerate(_batches(examples, options, clock)):
        share = pace(step, clock.done)
        for group, rate in zip(groups, full_rates, strict=True):
            group["lr"] = rate * share
        loss, spoken, heard = loss_of(model, batch, first_time)
        _improve(model, optimizers_, loss)
        if step % 50 == 0:
            spent = f"{clock.spent:5.1f} min  step {step}"
            print(f"{spent}  words {spoken:.3f}  ctc {heard:.3f}", flush=True)
        if clock.is_time_to_save():
            save(model, options.out)
    save(model, options.out)


def _batches(examples: Examples, options: Options, clock: Clock) -> Iterator[Batch]:
    """Batches as hard as the time spent allows, until it is over."""
    while True:
        stage = Stage.at(options.begin_at + (1 - options.begin_at) * clock.done)
        for batch in examples.batches(stage, options.batch_frames):
            if clock.done >= 1:
                return
            yield batch


def _improve(model: Whisper, optimizers_: list[torch.optim.Optimizer], loss: torch.Tensor) -> None:
    for optimizer in optimizers_:
        optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers_:
        optimizer.step()


def save(model: Whisper, folder: Path) -> None:
    """The folder that faster-whisper loads, and beside it the state to go on from."""
    export(model, folder)
    state = folder.parent / f"{folder.name}.state"
    state.mkdir(exist_ok=True)
    torch.save(model.state_dict(), state / STATE)
    print(f"saved {folder}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=Path, help="folder with a state to go on from")
    parser.add_argument("--begin-at", type=float, default=0.0)
    parser.add_argument("--students", type=int, default=0, help="sentences by starter-speech")
    parser.add_argument("--muon-rate", type=float, default=0.004)
    parser.add_argument("--adam-rate", type=float, default=3e-3)
    parser.add_argument("--batch-frames", type=int, default=6000)
    train(Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
