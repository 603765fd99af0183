"""Questions about a picture of one shape, with their answers, in many wordings.

What training draws from and what `evaluate` asks; it does not draw pictures.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from models.starter_image.scenes import BACKGROUNDS, COLOURS, SHAPES, Scene, plain_caption

COLOUR = (
    "What colour is the {thing}?",
    "What is the colour of the {thing}?",
    "Which colour is the {thing}?",
    "Which colour does the {thing} have?",
    "What colour is it?",
    "Tell me the colour of the {thing}.",
    "Name the colour of the {thing}.",
    "The {thing} is what colour?",
    "In what colour is the {thing} drawn?",
)
SHAPE = (
    "What shape is it?",
    "What shape is this?",
    "What is the shape?",
    "Which shape is in the picture?",
    "Which shape do you see?",
    "What shape is in the picture?",
    "What shape is shown?",
    "What shape does the {colour} thing have?",
    "What is the {colour} shape?",
    "Name the shape.",
    "What object is in the picture?",
    "Is it a circle, a square, a triangle or something else?",
)
BACKGROUND = (
    "What is the background?",
    "What colour is the background?",
    "What is the colour of the background?",
    "Which colour does the background have?",
    "Which background does the picture have?",
    "What is behind the {thing}?",
    "What colour is behind the {thing}?",
    "Name the background colour.",
    "Tell me the colour of the background.",
    "On what is the {thing}?",
)
DESCRIBE = (
    "Describe the picture.",
    "Describe the image.",
    "Describe this picture.",
    "Describe this image.",
    "Describe this image in one sentence.",
    "Caption this image.",
    "Write a caption.",
    "What is in this picture?",
    "What is in this image?",
    "What's in this image?",
    "What is in the picture?",
    "What do you see?",
    "What can you see in this image?",
    "What does the picture show?",
    "What is this?",
    "What is shown here?",
    "Please describe what you see.",
    "",
)
PLACE = (
    "Where is the {thing}?",
    "Where in the picture is the {thing}?",
    "In which part of the picture is the {thing}?",
)
COUNT = (
    "How many shapes are there?",
    "How many shapes are in the picture?",
    "How many objects do you see?",
    "Count the shapes.",
)
IS_COLOUR = ("Is the {thing} {x}?", "Is it {x}?", "Is there something {x} in front?")
IS_SHAPE = ("Is it a {x}?", "Is there a {x}?", "Is this a {x}?", "Do you see a {x}?")
IS_BACKGROUND = ("Is the background {x}?", "Is it on a {x} background?")
BLIND = "I see no picture. Please send one: I can tell its shape, its colour and its background."
BLIND_QUESTIONS = ("Hello", "Hi!", "Who are you?", "What can you do?", "Help", "Good morning")
STARTS = ("", "", "", "", "Please look. ", "Hi! ", "Hello, ", "Question: ", "Answer briefly: ")
NEUTRAL = ("shape", "shape", "object", "thing", "figure", "form")


@dataclass(frozen=True)
class Asked:
    """One question and the answer that is right."""

    question: str
    answer: str
    kind: str


def draw(rng: random.Random, scene: Scene) -> Asked:
    """Any question about `scene`."""
    kind = rng.choices(list(KINDS), [weight for _, weight in KINDS.values()])[0]
    return draw_kind(rng, scene, kind)


def draw_kind(rng: random.Random, scene: Scene, kind: str) -> Asked:
    """A question of one kind, in some wording."""
    asked = KINDS[kind][0](rng, scene)
    return Asked(_worded(rng, asked.question), asked.answer, asked.kind)


def draw_blind(rng: random.Random, scene: Scene) -> Asked:
    """A question with no picture."""
    if rng.random() < 0.3:
        return Asked(_worded(rng, rng.choice(BLIND_QUESTIONS)), BLIND, "blind")
    return Asked(draw(rng, scene).question or "Hello", BLIND, "blind")


def texts(rng: random.Random, scenes: Iterable[Scene]) -> Iterator[str]:
    """Questions and answers: what the tokenizer learns its merges from."""
    yield BLIND
    for scene in scenes:
        asked = draw(rng, scene)
        yield asked.question
        yield asked.answer


def colour(rng: random.Random, scene: Scene) -> Asked:
    return Asked(_filled(rng, COLOUR, scene), scene.colour, "colour")


def shape(rng: random.Random, scene: Scene) -> Asked:
    return Asked(_filled(rng, SHAPE, scene), scene.shape, "shape")


def background(rng: random.Random, scene: Scene) -> Asked:
    return Asked(_filled(rng, BACKGROUND, scene), scene.background, "background")


def describe(rng: random.Random, scene: Scene) -> Asked:
    return Asked(rng.choice(DESCRIBE), plain_caption(scene), "caption")


def place(rng: random.Random, scene: Scene) -> Asked:
    return Asked(_filled(rng, PLACE, scene), scene.place_words, "place")


def count(rng: random.Random, _: Scene) -> Asked:
    return Asked(rng.choice(COUNT), "one", "count")


def yes_no(rng: random.Random, scene: Scene) -> Asked:
    """True in half of the cases, whatever is asked."""
    templates, truth, choices = rng.choice(
        (
            (IS_COLOUR, scene.colour, tuple(COLOURS)),
            (IS_SHAPE, scene.shape, SHAPES),
            (IS_BACKGROUND, scene.background, tuple(BACKGROUNDS)),
        )
    )
    x = truth if rng.random() < 0.5 else rng.choice([c for c in choices if c != truth])
    question = _filled(rng, templates, scene).replace("{x}", x)
    return Asked(question, "yes" if x == truth else "no", "yes/no")


KINDS: dict[str, tuple[Callable[[random.Random, Scene], Asked], float]] = {
    "colour": (colour, 2),
    "shape": (shape, 3),
    "background": (background, 2),
    "caption": (describe, 3),
    "yes/no": (yes_no, 4),
    "place": (place, 2),
    "count": (count, 0.3),
}


def _filled(rng: random.Random, templates: Sequence[str], scene: Scene) -> str:
    """A wording; what it calls the shape may give the shape away, where that is not asked."""
    template = rng.choice(templates)
    revealing = templates in (COLOUR, BACKGROUND, IS_COLOUR, PLACE) and rng.random() < 0.3
    thing = scene.shape if revealing else rng.choice(NEUTRAL)
    return template.replace("{thing}", thing).replace("{colour}", scene.colour)


def _worded(rng: random.Random, question: str) -> str:
    """As people type: American spelling, small letters, no question mark, a greeting."""
    if rng.random() < 0.4:
        question = question.replace("colour", "color")
    if rng.random() < 0.15:
        question = question.rstrip("?.")
    if rng.random() < 0.15:
        question = question.lower()
    if question and rng.random() < 0.3:
        question = rng.choice(STARTS) + question
    return question
