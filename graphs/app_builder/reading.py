"""Sentences read by rules: which things they declare, with which fields, and what belongs to what.

Place in the path: inside the app builder, under `rules`. It reads plain English enumerations; what
becomes of the things is `rules`' business.
"""

import re
from dataclasses import dataclass, field

from graphs.app_builder.naming import is_plural, plural_name, singular, singular_name, snake
from graphs.app_builder.plan import TAKEN_NAMES
from graphs.app_builder.sentences import WORD_TYPES, Item, items_of
from graphs.app_builder.words import (
    APP_WORDS,
    ASKING,
    CHOICES,
    DOMAINS,
    EXTRAS,
    FEATURES,
    FIELDS,
    FILLERS,
    NO_THINGS,
)

SENTENCE = re.compile(r"(?<!\d)[.!?;]\s+|[.!?;]$|\n+")
CLAUSE = re.compile(r"\b(\w+),? (?:that|which|who) (has|have|contains?|includes?)\b")
INNER = re.compile(r":\s*(\w+s) (with|have|has|having)\b")
"""A declaration behind a colon: "a recipe app: recipes with title"."""
KEEPS = re.compile(
    r"\b(?:stor\w+|track\w*|manag\w+|keep\w*|record\w*|organi[sz]\w+)"
    r" (?:an? list of |my |the |our )?(\w+s) (with|having)\b"
)
SIMILAR = re.compile(r",?\s*\b(?:like|similar to) (?:an?\s+)?[\w-]+")
EACH = re.compile(r",?\s+(?:where|and)?\s*(?:each|every)\b")
DECLARES = re.compile(
    r"^(?P<subject>.{1,80}?)\s*(?:\b(?:has|have|having|with|contains?|containing|includes?"
    r"|including|consists? of|stores?|storing|records?|shows?|showing|displays?|displaying|needs?)"
    r"\b|:)\s*(?P<list>.+)$"
)
BELONGS = re.compile(r"(?P<before>\w*)\W+(?:and )?belongs? to (?:an?|one|the)?\s*(?P<other>\w+)")
VERBS = (
    r"manag(?:e|es|ing)|track(?:s|ing)?|keep track of|organi[sz](?:e|es|ing)|stor(?:e|es|ing)"
    r"|record(?:s|ing)?"
)
KEPT = re.compile(rf"\b(?:{VERBS})\s+(?P<list>.+)$")
MENTIONS = re.compile(
    rf"\b(?:{VERBS}|log|collect|browse|sell|order|list|add|create|of|for)\s+(?P<list>.+)$"
)
BLANKS = re.compile(r"[^\S\n]+")
LINES = re.compile(r"\s*\n\s*")
MARKS = re.compile(r"([^\w\s])(?:\s?\1)+")
POSSESSIVE = re.compile(r"(?<=\w)(?<!\bit)(?<!\bthat)(?<!\bthere)['\u2019]s\b")
"""As in a book's title; not as in it's."""
LONGEST_LINE = 2_000
PLAIN_FIELDS = {"name", "title", *CHOICES, *WORD_TYPES}


@dataclass(slots=True)
class Things:
    """What has been read so far: things by name, in order, and the items told of each."""

    items: dict[str, list[Item]] = field(default_factory=dict)
    belongs: list[tuple[str, str]] = field(default_factory=list)
    """Names of a thing, and of what it is one of many of."""
    notes: list[str] = field(default_factory=list)
    """What had to be assumed."""

    def add(self, name: str, items: list[Item] | None = None) -> None:
        """Note a thing, unless its name is one of nothing."""
        name = singular_name(name)
        is_nothing = bool(set(name.split("_")) & NO_THINGS) and not items
        if not name or name in TAKEN_NAMES or plural_name(name) in TAKEN_NAMES or is_nothing:
            return
        self.items.setdefault(name, []).extend(items or [])


def plain(description: str) -> str:
    """A description in lower case, without the runs of blanks and marks that would make reading it
    slow, and with sentences of a bounded length.
    """
    text = BLANKS.sub(" ", description.lower())
    text = LINES.sub("\n", text)
    text = POSSESSIVE.sub("", MARKS.sub(r"\1", text))
    return "\n".join(line[:LONGEST_LINE] for line in text.splitlines())


def read_things(text: str) -> tuple[Things, str]:
    """What a plain text declares, and what it calls the app (or nothing)."""
    text = KEEPS.sub(r". \1 \2", INNER.sub(r". \1 \2", SIMILAR.sub("", text)))
    things = Things()
    subjects = [_read_sentence(sentence, things) for sentence in sentences(text)]
    subject = next((each for each in subjects if each), "")
    if not things.items:
        _find_mentions(text, subject, things)
    return things, subject


def sentences(text: str) -> list[str]:
    """The sentences of a text; a clause that declares something is one of its own."""
    text = CLAUSE.sub(r"\1. \1 \2", text)
    text = EACH.sub(". each", text)
    parts = (part.strip(" \t-*•") for part in SENTENCE.split(text))
    return [part for part in parts if part]


def words_of_subject(phrase: str) -> list[str]:
    """The words of a subject, from its end back to where it begins."""
    phrase = re.split(r"\bwhere\b|\bso that\b|\bin which\b", phrase)[0]
    found = re.findall(r"[a-z0-9-]+", re.sub(r"\s+(that|which|who|to|for)$", "", phrase.strip()))
    kept = [word for word in found if word not in FILLERS]
    for index in range(len(kept) - 1, -1, -1):
        if kept[index] in ASKING:
            return kept[index + 1 :]
    return kept


def is_wish(subject: str) -> bool:
    """Whether a sentence says what people may do, not what a thing has."""
    return bool(re.search(r"\b(can|should|must|may|want|able|it|there|make|i|we)\b", subject))


def is_field(item: Item) -> bool:
    """Whether an item can be a field: a name, and no feature of the app."""
    return not item.is_long and item.name != "id" and not _is_feature(item)


def _read_sentence(sentence: str, things: Things) -> str:
    """Note what a sentence declares. The app's own name for itself, if it is about the app."""
    match = DECLARES.match(sentence)
    _read_belongings(sentence, match["subject"] if match else "", things)
    if match is None or is_wish(match["subject"]):
        _read_kept(sentence, things)
        return _app_name(sentence)
    words = words_of_subject(match["subject"])
    items = items_of(match["list"])
    if not words or not items:
        return ""
    if words[-1] in APP_WORDS and singular(words[-1]) not in FIELDS:
        _read_contents(words, items, things)
        return " ".join(words)
    things.add(snake(" ".join(words[-2:])), [item for item in items if is_field(item)])
    return ""


def _read_belongings(sentence: str, subject: str, things: Things) -> None:
    """Tasks that belong to a project."""
    for match in BELONGS.finditer(sentence):
        words = words_of_subject(subject or match["before"])
        if words and match["other"] not in NO_THINGS | FILLERS:
            things.add(words[-1])
            things.add(match["other"])
            things.belongs.append((singular_name(words[-1]), singular_name(match["other"])))


def _read_kept(sentence: str, things: Things) -> None:
    """Things that an app is there to manage, of which other sentences may tell more."""
    match = KEPT.search(sentence)
    for item in items_of(match["list"]) if match else ():
        if is_plural(item.name.rpartition("_")[2]) and not item.is_long and is_field(item):
            things.add(item.name)


def _read_contents(words: list[str], items: list[Item], things: Things) -> None:
    """What an app is said to have: the things that it keeps, or the fields of the one thing."""
    wanted = [item for item in items if not _is_feature(item)]
    if any(item.name.rpartition("_")[2] in PLAIN_FIELDS and not _is_thing(item) for item in wanted):
        things.add(_noun(words), [item for item in wanted if is_field(item)])
        return
    for item in wanted:
        if _is_thing(item):
            things.add(item.name, [each for each in items_of(item.hint) if is_field(each)])


def _is_feature(item: Item) -> bool:
    words = item.name.split("_")
    return set(words) <= FEATURES or words[-1] in EXTRAS


def _is_thing(item: Item) -> bool:
    last = item.name.rpartition("_")[2]
    return is_plural(last) or (singular(last) in FIELDS and last not in CHOICES)


def _app_name(sentence: str) -> str:
    words = words_of_subject(re.split(r"\b(?:for|to|that|using|of)\b", sentence)[0])
    return " ".join(words[:4]) if words and words[-1] in APP_WORDS else ""


def _noun(words: list[str]) -> str:
    """What an app is about: the last of its words that is not just `app` or `tracker`."""
    kept = [word for word in words if word not in APP_WORDS]
    return snake(kept[-1]) if kept else "item"


def _find_mentions(text: str, subject: str, things: Things) -> None:
    """Nothing was declared: what the app is called by, what it is for, what it mentions."""
    words = re.findall(r"[a-z-]+", text)
    usual = next((DOMAINS[word].split(",") for word in words if word in DOMAINS), [])
    noun = _noun(subject.split())
    known = [singular(word) for word in words if singular(word) in FIELDS]
    for found in (usual, [noun] * (noun != "item"), _mentioned(text), known[:1]):
        for name in found if not things.items else ():
            things.add(name)
    if not things.items:
        things.add("item")
        things.notes.append("the description names nothing to keep: 'items' were taken")


def _mentioned(text: str) -> list[str]:
    """Plurals after words like `track` and `manage`, of the first sentence that has any."""
    for sentence in sentences(text):
        match = MENTIONS.search(sentence)
        items = items_of(match["list"]) if match else []
        things = [item.name for item in items if _is_thing(item) and not item.is_long]
        if things:
            return things
    return []
