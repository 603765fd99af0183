"""starter-vision: its questions are sound, and its shipped weights see what the card says."""

import json
import random

import numpy as np
import pytest
from PIL import Image

from models.starter_image.scenes import Scene, draw, in_held_out, random_scene, split
from models.starter_vision import CHAT_TEMPLATE, WEIGHTS, questions
from models.starter_vision.evaluate import Answerer, clean, held_out, score
from models.starter_vision.pictures import SIDE, cropped, outline, picture, worn

MEBIBYTE = 1024 * 1024
SAMPLE = 96
SCENE = Scene("purple", "star", "yellow")


# --- the questions and the pictures -----------------------------------------------------------


def test_the_same_seed_asks_the_same_questions():
    first, second = ([questions.draw(random.Random(s), SCENE) for s in range(50)] for _ in "ab")
    assert first == second


def test_every_kind_of_question_has_the_answer_of_its_scene():
    rng = random.Random(1)
    for kind, answer in (
        ("colour", "purple"),
        ("shape", "star"),
        ("background", "yellow"),
        ("caption", "a purple star on a yellow background"),
        ("place", "centre"),
        ("count", "one"),
    ):
        assert {questions.draw_kind(rng, SCENE, kind).answer for _ in range(40)} == {answer}


def test_yes_and_no_are_true_and_about_as_frequent():
    rng = random.Random(2)
    asked = [questions.draw_kind(rng, SCENE, "yes/no") for _ in range(400)]
    yes = [one for one in asked if one.answer == "yes"]
    assert 0.4 < len(yes) / len(asked) < 0.6
    truths = (SCENE.colour, SCENE.shape, SCENE.background)
    assert all(any(truth in one.question for truth in truths) for one in yes)


def test_a_question_about_the_shape_does_not_give_it_away():
    rng = random.Random(3)
    asked = (questions.draw_kind(rng, SCENE, "shape").question for _ in range(200))
    assert not any("star" in question for question in asked)


def test_held_out_scenes_are_never_drawn_for_training():
    generator = np.random.default_rng(4)
    allowed, held = split()
    assert held
    scenes = [random_scene(generator, allowed) for _ in range(500)]
    assert not any(in_held_out(s.colour, s.shape, s.background) for s in scenes)


def test_a_worn_picture_is_of_the_right_size_and_still_shows_its_colours():
    rng = random.Random(5)
    for _ in range(20):
        pixels = picture(rng, Scene("white", "circle", "black"))
        assert pixels.shape == (SIDE, SIDE, 3)
        assert pixels[32, 32].mean() > 128 > pixels[2, 2].mean()
    assert worn(rng, np.zeros((200, 200, 3), np.uint8)).shape == (SIDE, SIDE, 3)


def test_a_crop_makes_the_shape_larger_and_its_outline_follows():
    scene = cropped(random.Random(6), SCENE)
    assert scene.radius > SCENE.radius
    assert outline(scene).sum() > outline(SCENE).sum()


# --- the shipped files ------------------------------------------------------------------------


def test_the_weights_are_small_and_safetensors_only():
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 20 * MEBIBYTE
    assert {path.suffix for path in files} <= {".json", ".jinja", ".safetensors"}
    assert (WEIGHTS / "chat_template.jinja").read_text() == CHAT_TEMPLATE.read_text()


def test_greedy_decoding_is_the_default():
    assert json.loads((WEIGHTS / "generation_config.json").read_text())["do_sample"] is False


@pytest.fixture(scope="module")
def answerer() -> Answerer:
    return Answerer(WEIGHTS)


def test_any_text_round_trips(answerer):
    tokenizer = answerer.processor.tokenizer
    for text in ("Héllo wörld", "漢字 🙂", "  tabs\tand\n\nlines ", "\x00\x7f", ""):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_the_template_puts_the_picture_first_as_training_did(answerer):
    parts = [{"type": "text", "text": "What?"}, {"type": "image"}]
    rendered = answerer.processor.apply_chat_template(
        [{"role": "user", "content": parts}], add_generation_prompt=True
    )
    assert rendered == "<|user|><image>What?<|end|><|assistant|>"


# --- what the weights can do ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["colour", "shape", "background"])
def test_held_out_pictures_are_named(answerer, kind):
    assert score(answerer, held_out(7, SAMPLE, kind, clean)) >= 0.9


@pytest.mark.parametrize("kind", ["colour", "shape", "background"])
def test_worn_pictures_are_named_as_well(answerer, kind):
    assert score(answerer, held_out(8, SAMPLE, kind, picture)) >= 0.9


def test_captions_and_yes_no_questions_are_right(answerer):
    assert score(answerer, held_out(9, SAMPLE, "caption", clean)) >= 0.9
    assert score(answerer, held_out(9, SAMPLE, "yes/no", clean)) >= 0.85


def test_a_large_picture_is_seen_as_well(answerer):
    pixels = np.asarray(Image.fromarray(draw(SCENE, side=512)))
    asked = [(pixels, "What colour is the shape?"), (pixels, "What is the background?")]
    assert answerer.answer(asked) == ["purple", "yellow"]
