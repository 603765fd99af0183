"""Train starter-speech from nothing: ``python -m models.starter_speech.train --minutes 6``.

One CPU thread, lessons made on the fly. Minutes are CPU time, so that a busy machine trains as much
as an idle one. The student is Coqui's SpeedySpeech with two speakers; the
loss is Coqui's own (spectrogram L1, Huber on log durations). It writes a folder that
`TTS(model_path=..., config_path=...)` loads; it measures nothing: ``evaluate`` does.
"""

import argparse
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.coqui import prepare
from models.starter_speech import VOICES, WEIGHTS
from models.starter_speech.lessons import Lesson, lesson
from models.starter_speech.sentences import Sentences

BATCH_FRAMES = 2400
POOL = 64
SAVE_EVERY_MINUTES = 2.0
CHECKPOINT = "model.pth"


@dataclass(frozen=True)
class Options:
    minutes: float
    out: Path
    seed: int
    rate: float


def student() -> Any:
    """The untrained model, with its configuration, tokenizer and audio processor."""
    prepare()
    from TTS.config.shared_configs import BaseAudioConfig
    from TTS.tts.configs.speedy_speech_config import SpeedySpeechConfig
    from TTS.tts.models.forward_tts import ForwardTTS, ForwardTTSArgs

    config = SpeedySpeechConfig(
        run_name="starter-speech",
        audio=BaseAudioConfig(
            sample_rate=22050,
            fft_size=1024,
            win_length=1024,
            hop_length=256,
            num_mels=80,
            mel_fmin=0,
            mel_fmax=8000,
            power=1.3,
            griffin_lim_iters=32,
            do_trim_silence=False,
        ),
        model_args=ForwardTTSArgs(
            use_pitch=False,
            use_energy=False,
            use_aligner=False,
            use_speaker_embedding=True,
            encoder_type="residual_conv_bn",
            # Dilated encoders need 13 characters of input; a word may have three.
            encoder_params=_blocks(6, [1]),
            decoder_type="residual_conv_bn",
            decoder_params=_blocks(9, [1, 2, 4]),
            out_channels=80,
            hidden_channels=128,
            positional_encoding=False,
            detach_duration_predictor=True,
        ),
        speakers=list(VOICES),
        use_speaker_embedding=True,
        use_phonemes=True,
        phonemizer="espeak",
        phoneme_language="en-us",
        text_cleaner="phoneme_cleaners",
        add_blank=False,
        enable_eos_bos_chars=False,
        min_seq_len=1,
        test_sentences=[],
    )
    return ForwardTTS(config)


def _blocks(count: int, dilations: list[int]) -> dict[str, Any]:
    return {
        "kernel_size": 4,
        "dilations": [dilations[index % len(dilations)] for index in range(count)],
        "num_conv_blocks": 2,
        "num_res_blocks": count,
    }


def batches(model: Any, seed: int) -> Iterator[dict[str, Any]]:
    """Batches of about `BATCH_FRAMES` padded frames, alike in length."""
    rng = random.Random(seed)
    sentences = Sentences(seed)
    while True:
        drawn = (lesson(model, sentences.draw(), rng) for _ in range(POOL))
        pool = sorted((made for made in drawn if made), key=lambda made: len(made.mel))
        groups, group = [], list[Lesson]()
        for made in pool:
            if group and len(made.mel) * (len(group) + 1) > BATCH_FRAMES:
                groups.append(group)
                group = []
            group.append(made)
        groups.append(group)
        rng.shuffle(groups)
        yield from (collate(group) for group in groups if len(group) > 1)


def collate(group: list[Lesson]) -> dict[str, Any]:
    """A batch as Coqui's `train_step` takes it."""
    letters = max(len(made.ids) for made in group)
    frames = max(len(made.mel) for made in group)
    ids = np.zeros((len(group), letters), np.int64)
    durations = np.zeros((len(group), letters), np.int64)
    mels = np.zeros((len(group), frames, 80), np.float32)
    for index, made in enumerate(group):
        ids[index, : len(made.ids)] = made.ids
        durations[index, : len(made.ids)] = made.durations
        mels[index, : len(made.mel)] = made.mel
    return {
        "text_input": torch.from_numpy(ids),
        "text_lengths": torch.tensor([len(made.ids) for made in group]),
        "mel_input": torch.from_numpy(mels),
        "mel_lengths": torch.tensor([len(made.mel) for made in group]),
        "durations": torch.from_numpy(durations),
        "speaker_ids": torch.tensor([made.speaker for made in group]),
        "d_vectors": None,
    }


def train(options: Options) -> None:
    """The whole run."""
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    model = student()
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    criterion = model.get_criterion()
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.rate, betas=(0.9, 0.98))
    model.train()
    started = saved = time.process_time()
    for step, batch in enumerate(batches(model, options.seed)):
        done = (time.process_time() - started) / (60 * options.minutes)
        if done >= 1:
            break
        share = min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * done))
        for group in optimizer.param_groups:
            group["lr"] = options.rate * max(share, 0.01)
        _, losses = model.train_step(batch, criterion)
        optimizer.zero_grad()
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0:
            parts = {name: round(part.item(), 3) for name, part in losses.items()}
            print(f"{60 * options.minutes * done:5.0f} s  step {step}  {parts}", flush=True)
        if time.process_time() - saved > 60 * SAVE_EVERY_MINUTES:
            saved = time.process_time()
            save(model, options.out)
    save(model, options.out)


def save(model: Any, folder: Path) -> None:
    """`config.json` and the weights in half precision; Coqui loads them into floats."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: value.half() if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    torch.save({"model": state}, folder / CHECKPOINT)
    model.config.save_json(str(folder / "config.json"))
    print(f"saved {folder}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=2e-3)
    train(Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
