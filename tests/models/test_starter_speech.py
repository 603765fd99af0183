"""starter-speech: its lessons are sound, and its weights do what the model card says."""

import json
import random
import re

import numpy as np
import pytest

from models.coqui import Speaker
from models.espeak import Speech, Voice, espeak
from models.starter_speech import VOICES, WEIGHTS
from models.starter_speech.evaluate import recovered, share_heard, student_speaker
from models.starter_speech.lessons import at_least_one, starts_of
from models.starter_speech.sentences import Sentences
from models.starter_transcribe import WEIGHTS as EAR
from models.starter_transcribe.evaluate import listener
from models.starter_transcribe.utterances import is_held_out
from models.starter_transcribe.vocabulary import WORDS

MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def student():
    return Speaker(WEIGHTS)


def test_the_same_seed_draws_the_same_sentences_and_none_is_held_out():
    first, second = Sentences(3), Sentences(3)
    drawn = [first.draw() for _ in range(300)]
    assert drawn == [second.draw() for _ in range(300)]
    plain = [re.sub(r"[^a-z ]", "", text.lower()) for text in drawn]
    commands = [text for text in plain if set(text.split()) <= set(WORDS)]
    assert len(commands) > 50
    assert not any(is_held_out(text) for text in commands)
    assert all(text[-1] in ".?!" for text in drawn)


def test_phonemes_and_their_times_are_those_of_the_sentence():
    speech = espeak().speak("red door", Voice())
    phonemes = espeak().phonemes("red door")
    starts = starts_of(phonemes, speech)
    assert starts is not None
    assert starts == sorted(starts)
    assert len(starts) == len(phonemes)
    vowel = phonemes.index("o") if "o" in phonemes else phonemes.index("\u0254")
    assert 0.3 < starts[vowel] / (len(speech.samples) / 2) < 0.8


def test_sounds_that_do_not_match_are_not_learnt():
    assert starts_of("abcdefgh", Speech(22050, b"\0" * 1000, [(0, "z"), (300, "y")])) is None


def test_every_phoneme_gets_a_frame_and_none_is_lost():
    rng = random.Random(1)
    for _ in range(200):
        durations = [rng.choice((0, 0, 1, 5)) for _ in range(rng.randint(1, 30))]
        made = at_least_one(list(durations))
        if sum(durations) < len(durations):
            assert made == []
        else:
            assert sum(made) == sum(durations)
            assert min(made) == 1 or min(durations) > 1


def test_recovered_words_are_counted_in_order():
    assert recovered("turn the light off", "turn the the light") == 3
    assert recovered("one two", "two one") == 1
    assert recovered("one", "") == 0


def test_the_weights_are_small_and_have_a_card():
    assert sum(file.stat().st_size for file in WEIGHTS.iterdir()) < 20 * MEBIBYTE
    card = (WEIGHTS.parent / "CARD.md").read_text()
    scores = json.loads((WEIGHTS.parent / "scores.json").read_text())
    for name, value in scores.items():
        if "heard by starter-transcribe" in name and not name.startswith("teacher"):
            assert value >= 0.8, name
            assert f"{100 * value:.1f} %" in card
    assert all(voice in card for voice in VOICES)


def test_words_are_recovered(student):
    hear = listener(EAR)
    for voice in VOICES:
        assert share_heard(hear, student_speaker(student, voice), 12) >= 0.8


def test_the_same_text_is_spoken_alike_and_longer_text_longer(student):
    short = student.say("Stop.", "tenor", None)
    long = student.say("Stop the music and turn the light off, please.", "tenor", None)
    assert len(student.say("Stop.", "tenor", None)) == len(short)
    assert 0.3 < len(short) / student.rate < 2
    assert len(long) > 2.5 * len(short)
    assert np.abs(long).max() <= 0.96
