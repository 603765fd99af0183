"""Words as names and names as words: singular and plural, snake case, Pascal case, labels.

Place in the path: inside the app builder. English only; a word it does not know gets the usual
ending.
"""

import re

IRREGULAR = {
    "person": "people",
    "child": "children",
    "man": "men",
    "woman": "women",
    "mouse": "mice",
    "goose": "geese",
    "foot": "feet",
    "tooth": "teeth",
    "leaf": "leaves",
    "life": "lives",
    "knife": "knives",
    "shelf": "shelves",
    "datum": "data",
    "medium": "media",
    "criterion": "criteria",
    "analysis": "analyses",
    "movie": "movies",
    "cookie": "cookies",
    "series": "series",
    "species": "species",
    "news": "news",
    "equipment": "equipment",
    "status": "statuses",
    "address": "addresses",
    "bus": "buses",
    "quiz": "quizzes",
}
SINGULARS = {plural: singular for singular, plural in IRREGULAR.items()}
STAY = {"ss", "us", "is"}
"""Ends of words that are singular already."""
MAX_WORDS = 3
MAX_NAME = 36
"""Characters: room for the ending of a plural."""
UPPER = {"id", "url", "api", "crm", "faq", "sku", "isbn", "vat", "gps", "ip", "pdf", "cv", "hr"}


def singular(word: str) -> str:
    """`categories` -> `category`; a word that is singular stays."""
    if word in SINGULARS:
        return SINGULARS[word]
    if word in IRREGULAR or word[-2:] in STAY or not word.endswith("s"):
        return word
    if word.endswith("ies") and len(word) > len("ties"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zes")):
        return word[:-2]
    return word[:-1]


def plural(word: str) -> str:
    """`category` -> `categories`."""
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    if word.endswith(("ch", "sh", "x", "s", "z")):
        return word + "es"
    return word + "s"


def is_plural(word: str) -> bool:
    """Whether a word looks like more than one."""
    return singular(word) != word


def snake(text: str) -> str:
    """Up to three words as a name; empty when there is no letter to begin with."""
    words = re.findall(r"[a-z0-9]+", text.lower().replace("'", ""))[-MAX_WORDS:]
    while words and not words[0][0].isalpha():
        words.pop(0)
    return "_".join(words)[:MAX_NAME].rstrip("_")


def pascal(name: str) -> str:
    """`due_date` -> `DueDate`."""
    return "".join(word.capitalize() for word in name.split("_"))


def words_of(name: str) -> str:
    """`due_date` -> `Due date`."""
    words = [word.upper() if word in UPPER else word for word in name.split("_")]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def plural_name(name: str) -> str:
    """The last word of a name in plural."""
    head, _, last = name.rpartition("_")
    return f"{head}_{plural(last)}" if head else plural(last)


def singular_name(name: str) -> str:
    """The last word of a name in singular."""
    head, _, last = name.rpartition("_")
    return f"{head}_{singular(last)}" if head else singular(last)


def slug(text: str) -> str:
    """A package's name; `app` when nothing is left."""
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))[:MAX_NAME].strip("-") or "app"
