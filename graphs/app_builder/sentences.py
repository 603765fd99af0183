"""Lists in sentences: "title, due date and status (open, done)" as fields.

Place in the path: inside the app builder, under `rules`. It reads one phrase at a time and knows
nothing of the whole description.
"""

import re
from dataclasses import dataclass

from graphs.app_builder.naming import MAX_WORDS, singular, snake, words_of
from graphs.app_builder.plan import MAX_CHOICES, FieldType, PlanField
from graphs.app_builder.words import CHOICES, FILLERS, TYPE_WORDS, TYPES

END = re.compile(
    r"\s(?:belongs?|that|which|who|where|so|lets?|allows?|allowing|can|could|should|must|when"
    r"|while|using|in order|to be|built|written|made|such as|as well as)\b.*$"
)
"""From where a list goes over into something else."""
TAIL = re.compile(r"\s(?:for|on|from|to|in|by|per)\s.*$")
"""What one item of a list is further said to be."""
ITEM = re.compile(r"\s*(?:,\s*and\b|,\s*or\b|,|;|\band\b|&|\bplus\b|\n\s*[-*])\s*")
HINT = re.compile(r"\(([^()]*)\)")
AFTER = re.compile(r"^(?P<name>.+?)\s+as\s+(?:an?\s+)?(?P<hint>.+)$|^(?P<key>[^:]+):\s*(?P<of>.+)$")
OPTIONS = re.compile(r"\s*(?:,|/|\||\bor\b|\band\b)\s*")
HIDDEN = "\x00"
"""Stands for what is inside brackets, while a list is cut at its commas."""
QUESTIONS = ("is", "has", "remember", "agree", "accept", "allow", "send", "show")
"""First words of what is true or not."""
ENDS: dict[str, FieldType] = {"at": "datetime", "on": "date", "checkbox": "boolean"}
"""Last words that tell a type, behind others: `joined on`."""
MOMENTS = ("start", "end", "arrival", "departure", "appointment", "meeting", "event", "pickup")
LABEL = re.compile(r"[^\w .,:/()+%#-]")
WORD_TYPES: dict[str, FieldType] = {
    word: kind for kind, words in TYPES.items() for word in words.split()
}


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a list: its words, and what the brackets behind it say."""

    words: str
    hint: str = ""

    @property
    def name(self) -> str:
        """Its name in snake case, without articles and other fillers."""
        kept = [word for word in re.findall(r"[\w'-]+", self.words) if word not in FILLERS]
        return snake(" ".join(kept).replace("-", " "))

    @property
    def is_required(self) -> bool:
        return bool(re.search(r"\b(required|mandatory)\b", f"{self.words} {self.hint}"))

    @property
    def is_long(self) -> bool:
        """Whether this is half a sentence rather than the name of a field."""
        kept = [word for word in self.words.split() if word not in FILLERS]
        return len(kept) > MAX_WORDS


def items_of(phrase: str) -> list[Item]:
    """The items of an enumeration, in order."""
    hints: list[str] = []

    def hide(match: re.Match[str]) -> str:
        hints.append(match.group(1))
        return f" {HIDDEN}{len(hints) - 1}{HIDDEN}"

    plain = END.sub("", HINT.sub(hide, phrase))
    return [item for part in ITEM.split(plain) if (item := _item(part, hints)).name]


def _item(part: str, hints: list[str]) -> Item:
    said = [hints[int(number)] for number in re.findall(f"{HIDDEN}(\\d+){HIDDEN}", part)]
    words = re.sub(f"{HIDDEN}\\d+{HIDDEN}", "", part).strip(" .:-*").removeprefix("with ")
    words = TAIL.sub("", words)
    match = AFTER.match(words)
    if match is not None and not said:
        return Item(match["name"] or match["key"], match["hint"] or match["of"])
    return Item(words, "; ".join(said))


def field_of(item: Item) -> PlanField:
    """The field that an item names."""
    name = item.name
    hint = item.hint.strip().lower()
    kind = _type_said(hint) or _type_of(name)
    choices = _choices_said(item.hint) or _choices_of(name, kind)
    return PlanField(
        name=f"{name}_field" if name in ("id", "row", "rows") else name,
        label=words_of(name),
        type="choice" if choices else kind,
        required=item.is_required,
        choices=choices,
    )


def _type_said(hint: str) -> FieldType | None:
    for part in re.split(r"[;,]", hint):
        if (kind := TYPE_WORDS.get(part.strip())) is not None:
            return kind
    return None


def _type_of(name: str) -> FieldType:
    words = name.split("_")
    if words[0] in QUESTIONS:
        return "boolean"
    if "date" in words or "birthday" in words:
        return "date"
    if words[-1] in ("number", "no") and len(words) > 1:
        return "phone" if WORD_TYPES.get(words[0]) == "phone" else "text"
    if len(words) > 1 and words[-1] in ENDS:
        return ENDS[words[-1]]
    if len(words) > 1 and words[-1] == "time" and words[0] not in MOMENTS:
        return "text"  # how long something takes, as people write it
    return WORD_TYPES.get(words[-1]) or WORD_TYPES.get(singular(words[-1])) or "text"


def _choices_said(hint: str) -> tuple[str, ...]:
    """At least two options in the brackets, that are not the word for a type."""
    without = re.sub(r"\b(required|mandatory|optional|one of|choice|select|either)\b:?", "", hint)
    options = [option.strip(" .'\"") for option in OPTIONS.split(without)]
    options = [label for option in options if (label := LABEL.sub("", option)[:60].strip())]
    distinct = list(dict.fromkeys(option[:1].upper() + option[1:] for option in options))
    if len(distinct) < 2 or _type_said(hint.lower()):  # noqa: PLR2004  # one option is no choice
        return ()
    return tuple(distinct[:MAX_CHOICES])


def _choices_of(name: str, kind: FieldType) -> tuple[str, ...]:
    if kind != "text":
        return ()
    usual = CHOICES.get(name.rsplit("_", maxsplit=1)[-1])
    return tuple(usual.split(",")) if usual else ()
