"""Plain cases of JSON: extraction from one sentence, classification, records, lists.

A server that enforces a JSON schema forces keys which the prompt may not mention. ``forced`` marks
such answers: only the values are targets, so the model learns to fill a shape it is given.
"""

import json
import random
from collections.abc import Callable

from models.starter_chat.conversation import Json, Message
from models.starter_chat.words import CITIES, COLORS, JOBS, NAMES

Exchange = tuple[str, Message]
KEY_NAMES: dict[str, tuple[str, ...]] = {
    "name": ("name", "name", "name", "person", "first_name", "user", "username", "customer"),
    "age": ("age", "age", "age", "years"),
    "city": ("city", "city", "location", "place", "town"),
    "color": ("color", "colour", "favorite_color", "favourite_colour"),
    "job": ("job", "occupation", "profession", "role"),
    "order_id": ("order_id", "order", "order_number", "id"),
    "priority": ("priority", "urgency"),
    "status": ("status", "state"),
    "product": ("product", "item", "name"),
    "price": ("price", "cost", "amount"),
    "quantity": ("quantity", "count", "amount"),
}
_ASK = (
    "extract {k} as json: {s}",
    "return {k} as json: {s}",
    "extract the {k} from: {s}",
    "{s} give me {k} as json",
    "{s} extract {k}",
    "give me the {k} as json: {s}",
    "extract {k} from this text: {s}",
    "{s} answer as json with {k}",
    "json with {k}: {s}",
    "{s} return a json object with the keys {k}",
    "parse {k}: {s}",
    "get {k} from: {s}",
)
_ASK_ALL = (
    "extract as json: {s}",
    "as json: {s}",
    "{s} as json",
    "turn this into json: {s}",
    "extract the information as json: {s}",
    "{s} answer in json",
    "convert to json: {s}",
    "extract the data: {s}",
    "{s} return json",
    "extract the person: {s}",
    "{s}",
    "extract the user information: {s}",
    "extract: {s}",
    "parse this: {s}",
)
_ATTITUDES: dict[str, tuple[str, ...]] = {
    "positive": (
        "i love this product",
        "this is great",
        "excellent service",
        "i am very happy with it",
        "works perfectly",
        "best purchase ever",
        "wonderful, thank you",
        "it is amazing",
        "really good quality",
        "fantastic support",
        "i like it a lot",
        "highly recommended",
    ),
    "negative": (
        "i hate this product",
        "this is terrible",
        "awful service",
        "i am very disappointed",
        "it does not work",
        "worst purchase ever",
        "broken on arrival",
        "it is horrible",
        "really bad quality",
        "the support is useless",
        "i do not like it",
        "never again",
    ),
    "neutral": (
        "it is okay",
        "the package arrived on monday",
        "it is a phone",
        "nothing special",
        "it is average",
        "the box is blue",
        "i bought it last week",
        "it does what it says",
    ),
}


def draw_json(rng: random.Random) -> Exchange:
    """A request that calls for JSON, and its answer."""
    makers: list[Callable[[random.Random], Exchange]] = [
        _extraction,
        _extraction,
        _extraction,
        _extraction,
        _sentiment,
        _sample,
        _list,
    ]
    return rng.choice(makers)(rng)


def dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def forced(record: Json) -> Message:
    """The record as an answer whose keys and opening come from a grammar: values are learnt."""
    text, spans = "{", []
    for i, (key, value) in enumerate(record.items()):
        text += (", " if i else "") + dumps(key) + ": "
        if isinstance(value, str):
            text += '"'
        body = dumps(value).removeprefix('"') if isinstance(value, str) else dumps(value)
        spans.append((len(text), len(text) + len(body)))
        text += body
    spans.append((len(text), len(text) + 1))
    return Message("assistant", text + "}", tuple(spans))


def answer(record: Json) -> Message:
    return Message("assistant", dumps(record))


def _extraction(rng: random.Random) -> Exchange:
    sentence, facts = rng.choice((_person, _person, _person, _ticket, _purchase))(rng)
    fields = list(facts)
    if rng.random() < 0.5:
        return _chosen_fields(sentence, facts, fields, rng)
    named = {k: facts[k] for k in fields}
    request = rng.choice(_ASK_ALL).format(s=sentence)
    if "json" in request and rng.random() < 0.6:
        return request, answer(named)
    some = rng.sample(fields, rng.randint(1, len(fields)))
    return request, forced({rng.choice(KEY_NAMES[k]): facts[k] for k in some})


def _chosen_fields(sentence: str, facts: Json, fields: list[str], rng: random.Random) -> Exchange:
    """The request names the keys: the answer has exactly these, in the request's order."""
    some = rng.sample(fields, rng.randint(1, len(fields)))
    record = {rng.choice(KEY_NAMES[k]) if rng.random() < 0.3 else k: facts[k] for k in some}
    keys = list(record)
    listed = keys[0] if len(keys) == 1 else ", ".join(keys[:-1]) + " and " + keys[-1]
    if rng.random() < 0.3:
        listed = ", ".join(keys)
    return rng.choice(_ASK).format(k=listed, s=sentence), answer(record)


def _person(rng: random.Random) -> tuple[str, Json]:
    name, age = rng.choice(NAMES), rng.randint(1, 99)
    city, color, job = rng.choice(CITIES), rng.choice(COLORS), rng.choice(JOBS)
    forms: tuple[tuple[str, tuple[str, ...]], ...] = (
        (f"{name} is {age} years old", ("name", "age")),
        (f"{name} is {age}", ("name", "age")),
        (f"My name is {name} and I am {age} years old", ("name", "age")),
        (f"{name}, {age}, lives in {city}", ("name", "age", "city")),
        (f"{name} is {age} years old and lives in {city}", ("name", "age", "city")),
        (f"{name} lives in {city}", ("name", "city")),
        (f"{name} from {city} is {age} years old", ("name", "city", "age")),
        (f"{name} is a {age} year old {job} from {city}", ("name", "age", "job", "city")),
        (f"{name} works as a {job} in {city}", ("name", "job", "city")),
        (f"I am {name}, {age} years old, and I live in {city}", ("name", "age", "city")),
        (f"The favorite color of {name} is {color}", ("name", "color")),
        (f"{name} likes {color}", ("name", "color")),
        (f"{name} is {age}, lives in {city} and likes {color}", ("name", "age", "city", "color")),
    )
    sentence, fields = rng.choice(forms)
    values: Json = {"name": name, "age": age, "city": city, "color": color, "job": job}
    return sentence + rng.choice((".", ".", ".", "")), {k: values[k] for k in fields}


def _ticket(rng: random.Random) -> tuple[str, Json]:
    order = rng.randint(1, 999)
    priority = rng.choice(("low", "normal", "high", "urgent"))
    status = rng.choice(("pending", "paid", "shipped", "delivered", "cancelled", "refunded"))
    if rng.random() < 0.5:
        sentence = rng.choice(
            ("Order {o} is {s}.", "The status of order {o} is {s}.", "My order {o} was {s}.")
        ).format(o=order, s=status)
        return sentence, {"order_id": order, "status": status}
    sentence = rng.choice(
        (
            "Order {o} has not arrived, priority {p}.",
            "Problem with order {o}, this is {p}.",
            "Please check order {o} with {p} priority.",
        )
    ).format(o=order, p=priority)
    return sentence, {"order_id": order, "priority": priority}


def _purchase(rng: random.Random) -> tuple[str, Json]:
    item = rng.choice(
        (
            "shirt",
            "phone",
            "book",
            "lamp",
            "chair",
            "table",
            "bike",
            "ball",
            "guitar",
            "camera",
            "laptop",
            "mug",
            "jacket",
        )
    )
    color, price, count = rng.choice(COLORS), rng.randint(1, 999), rng.randint(2, 20)
    roll = rng.random()
    if roll < 0.4:
        sentence = rng.choice(
            (
                "The {c} {i} costs {p} dollars.",
                "A {c} {i} for {p} euros.",
                "The price of the {c} {i} is {p}.",
            )
        ).format(c=color, i=item, p=price)
        return sentence, {"product": item, "color": color, "price": price}
    if roll < 0.7:
        return f"The {item} costs {price} dollars.", {"product": item, "price": price}
    return f"I bought {count} {item}s.", {"quantity": count, "product": item}


def _sentiment(rng: random.Random) -> Exchange:
    label = rng.choice(list(_ATTITUDES))
    said = rng.choice(_ATTITUDES[label])
    record: Json = {rng.choice(("sentiment", "sentiment", "label", "mood")): label}
    if rng.random() < 0.35:
        form = rng.choice(
            (
                "classify the sentiment: {}",
                "what is the sentiment of: {}",
                "{}",
                "is this positive or negative: {}",
                "sentiment: {}",
                "classify: {}",
            )
        )
        if form != "{}" and rng.random() < 0.7:
            return form.format(said), Message("assistant", label)
        return form.format(said), forced(record)
    key = next(iter(record))
    form = rng.choice(
        (
            "classify the sentiment as json: {}",
            "return the {k} as json: {}",
            "give the {k} of this text as json: {}",
            "sentiment as json: {}",
        )
    )
    record = {key if "{k}" in form else "sentiment": label}
    return form.format(said, k=key), answer(record)


_SAMPLE: Json = {"name": "Anna", "age": 31, "city": "Berlin", "color": "blue", "job": "engineer"}


def _sample(rng: random.Random) -> Exchange:
    """An invented record; always the same, so that the answer can be checked."""
    keys = rng.sample(list(_SAMPLE), rng.randint(1, 4))
    listed = keys[0] if len(keys) == 1 else ", ".join(keys[:-1]) + " and " + keys[-1]
    record: Json = {k: _SAMPLE[k] for k in keys}
    forms = (
        "give me a json object with {k}",
        "generate a person as json with {k}",
        "create a sample user as json with {k}",
        "return json with {k}",
        "make up a person with {k} as json",
        "a json object with the keys {k}",
    )
    if rng.random() < 0.7:
        return rng.choice(forms).format(k=listed), answer(record)
    request = rng.choice(
        (
            "generate a person",
            "create a sample user",
            "make up a user",
            "invent a person",
            "give me a random person",
            "describe a user",
        )
    )
    return request, forced(record)


def _list(rng: random.Random) -> Exchange:
    n = rng.randint(1, 5)
    word = ("one", "two", "three", "four", "five")[n - 1]
    what, values = rng.choice((("colors", COLORS), ("cities", CITIES), ("names", NAMES)))
    form = rng.choice(
        (
            "list {n} {w} as json",
            "give me {n} {w} as json",
            "{n} {w} as json",
            "return {n} {w} in json",
        )
    )
    count = word if rng.random() < 0.5 else str(n)
    return form.format(n=count, w=what), answer({what: list(values[:n])})
