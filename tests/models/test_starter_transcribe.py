"""starter-transcribe: its data are sound, and its weights do what the model card says."""

import json
import random

import numpy as np
import pytest

from models.starter_transcribe import WEIGHTS, vocabulary
from models.starter_transcribe.evaluate import (
    error_rate,
    listener,
    student_speaker,
    word_errors,
)
from models.starter_transcribe.utterances import (
    CHUNK_S,
    SAMPLE_RATE,
    drawn,
    espeak_speaker,
    is_held_out,
    noise_alone,
    roughened,
    telling,
    utterance,
)
from models.starter_transcribe.vocabulary import MARKS, NO_TIMES, TIMES, WORDS

MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def hear():
    return listener(WEIGHTS)


def test_every_word_is_one_token_and_tokens_are_in_whispers_order():
    tokenizer = vocabulary.build()
    assert len(WORDS) == len(set(WORDS)) == 50
    for word in WORDS:
        assert len(tokenizer.encode(f" {word}").ids) == 1
    text = " turn the light off"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert tokenizer.decode(tokenizer.encode(" any other text").ids) == " any other text"
    ids = [vocabulary.id_of(tokenizer, mark) for mark in MARKS]
    assert ids == list(range(ids[0], ids[0] + len(MARKS)))
    assert vocabulary.id_of(tokenizer, TIMES[0]) == vocabulary.id_of(tokenizer, NO_TIMES) + 1
    assert tokenizer.token_to_id("<|30.00|>") == tokenizer.get_vocab_size() - 1


def test_held_out_sentences_are_never_drawn_for_training():
    rng = random.Random(1)
    assert not any(is_held_out(drawn(rng)) for _ in range(500))
    assert all(is_held_out(drawn(rng, held_out=True)) for _ in range(50))


def test_the_same_seed_gives_the_same_sentence_said_alike():
    tell = telling(espeak_speaker())
    texts, sounds = zip(*(tell(random.Random(5), 8) for _ in range(2)), strict=True)
    assert texts[0] == texts[1]
    # espeak-ng lets the pitch of a voice flutter by a chance of its own.
    assert len(sounds[0]) == pytest.approx(len(sounds[1]), rel=0.01)


def test_an_utterance_knows_where_its_sentences_are_and_ends_in_time():
    rng = random.Random(2)
    tell = telling(espeak_speaker())
    spoken = utterance(rng, [tell(rng, 8) for _ in range(8)])
    assert len(spoken.samples) <= CHUNK_S * SAMPLE_RATE
    for segment in spoken.segments[:-1]:
        inside = spoken.samples[int(segment.start * SAMPLE_RATE) : int(segment.end * SAMPLE_RATE)]
        assert np.abs(inside).max() > 0.05
    loud = roughened(spoken.samples, rng)
    assert loud.shape == spoken.samples.shape
    assert np.isfinite(loud).all()


def test_word_errors_are_counted_as_everybody_counts_them():
    assert word_errors("one two three", "one two three") == 0
    assert word_errors("one two three", "one three") == 1
    assert word_errors("one two", "one four two five") == 2
    assert word_errors("one", "two") == 1


def test_the_weights_are_small_and_have_a_card():
    assert sum(file.stat().st_size for file in WEIGHTS.iterdir()) < 20 * MEBIBYTE
    card = (WEIGHTS.parent / "CARD.md").read_text()
    scores = json.loads((WEIGHTS.parent / "scores.json").read_text())
    for name in ("espeak en-us", "espeak en-us+f3", "espeak en", "starter-speech"):
        assert scores[name] <= 0.15, name
        assert f"{100 * scores[name]:.1f} %" in card


def test_the_voices_of_training_are_understood(hear):
    assert error_rate(hear, espeak_speaker(), 25, 31) <= 0.15


def test_starter_speech_is_understood(hear):
    assert error_rate(hear, student_speaker(), 20, 32) <= 0.15


def test_silence_and_noise_are_not_taken_for_words(hear):
    rng = random.Random(7)
    heard = [hear(noise_alone(rng).samples) for _ in range(5)]
    assert sum(bool(text) for text in heard) <= 1
