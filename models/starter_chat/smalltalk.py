"""Short conversation: greetings, identity, small tricks, and polite refusals of unknown topics."""

import random
from dataclasses import dataclass
from typing import Any

import yaml

from models.starter_chat import HERE
from models.starter_chat.words import NAMES, TOPICS

UNKNOWN = (
    "I am a small starter model: I write SQL for the sample schema and answer questions about "
    "Carillon. I do not know about that."
)
READ_ONLY = "I only write SELECT queries; I do not change data."
COUNTED = tuple(str(n) for n in range(1, 11))


@dataclass(frozen=True)
class Intent:
    """One answer to several sentences."""

    key: str
    answer: str
    says: tuple[str, ...]


def _intents() -> tuple[Intent, ...]:
    table: dict[str, dict[str, Any]] = yaml.safe_load((HERE / "smalltalk.yaml").read_text())
    return tuple(Intent(key, row["answer"], tuple(row["says"])) for key, row in table.items())


INTENTS = _intents()
_UNKNOWN_FORMS = (
    "what is {t}",
    "tell me about {t}",
    "who invented {t}",
    "explain {t}",
    "how does {t} work",
    "why is {t} important",
    "write an essay about {t}",
    "write a song about {t}",
    "what do you think about {t}",
    "how much does {t} cost",
    "what is the history of {t}",
    "when was {t} discovered",
    "give me a summary of {t}",
    "do you like {t}",
    "who discovered {t}",
    "how do i learn {t}",
    "what is the best {t}",
    "where can i buy {t}",
    "define {t}",
    "can you teach me {t}",
    "is {t} dangerous",
    "i want to know more about {t}",
    "recommend a book about {t}",
    "what are the benefits of {t}",
    "translate {t} to french",
    "how do you make {t}",
    "what is the capital of {t}",
    "write a python function for {t}",
    "compare {t} and {u}",
    "what is the difference between {t} and {u}",
    "what is the population of {t}",
    "who is {t}",
    "who was {t}",
    "describe {t} in one sentence",
    "what is the meaning of {t}",
    "how old is {t}",
    "give me a recipe for {t}",
    "how far is {t} from {u}",
    "what color is {t}",
    "news about {t}",
    "is {t} better than {u}",
    "why is {t} so popular",
    "write a poem about {t}",
    "write code for {t}",
)
_ARITHMETIC = (
    "what is {a} + {b}",
    "{a} plus {b}",
    "calculate {a} * {b}",
    "what is {a} times {b}",
    "how much is {a} minus {b}",
    "{a} + {b} = ?",
    "what is {a} divided by {b}",
    "solve {a} + {b}",
    "{a}+{b}",
    "what is {a}+{b}",
    "compute {a} - {b}",
)
_WRITES = (
    "delete all {x}",
    "drop the {x} table",
    "update all {x}",
    "remove all {x}",
    "insert a row into {x}",
    "delete the {x} of last year",
    "truncate {x}",
    "drop table {x}",
    "delete {x} older than 30 days",
    "set all {x} to active",
    "add a new row to {x}",
    "erase all {x}",
    "change the status of all {x}",
)
_TABLES = (
    "users",
    "orders",
    "products",
    "payments",
    "subscriptions",
    "invoices",
    "tickets",
    "reviews",
    "customers",
    "accounts",
)
Turn = tuple[str, str]


def draw_intent(rng: random.Random) -> tuple[Intent, str]:
    intent = rng.choice(INTENTS)
    return intent, rng.choice(intent.says)


def draw_unknown(rng: random.Random) -> Turn:
    if rng.random() < 0.12:
        form = rng.choice(_ARITHMETIC)
        return form.format(a=rng.randint(1, 999), b=rng.randint(1, 99)), UNKNOWN
    first, second = rng.sample(TOPICS, 2)
    return rng.choice(_UNKNOWN_FORMS).format(t=first, u=second), UNKNOWN


def draw_write(rng: random.Random) -> Turn:
    return rng.choice(_WRITES).format(x=rng.choice(_TABLES)), READ_ONLY


def draw_count(rng: random.Random) -> Turn:
    """Counting aloud: an answer of known length, handy for looking at streams."""
    n = rng.randint(2, len(COUNTED))
    form = rng.choice(
        (
            "count to {n}",
            "count from 1 to {n}",
            "please count to {n}",
            "count up to {n}",
            "can you count to {n}",
        )
    )
    return form.format(n=n), ", ".join(COUNTED[:n])


def draw_name(rng: random.Random) -> list[Turn]:
    """Remembering a name, with other talk between."""
    name = rng.choice(NAMES)
    said = rng.choice(
        (
            "my name is {}",
            "i am {}",
            "hi, my name is {}",
            "hello, i'm {}",
            "call me {}",
            "hi, i am {}",
        )
    ).format(name)
    turns = [(said, f"Nice to meet you, {name}!")]
    for _ in range(rng.choice((0, 0, 1, 2))):
        intent, text = draw_intent(rng)
        turns.append((text, intent.answer))
    asked = rng.choice(
        (
            "what is my name",
            "what's my name",
            "who am i",
            "do you know my name",
            "do you remember my name",
        )
    )
    return [*turns, (asked, f"Your name is {name}.")]
