"""Light noise on what users type: case, punctuation, politeness, a few typing errors.

It never touches digits or quoted values, so the right answer stays the same.
"""

import random

_BEFORE = (
    "please ",
    "hey, ",
    "can you ",
    "could you ",
    "hi, ",
    "hello, ",
    "so ",
    "ok, ",
    "now ",
    "i would like to know: ",
    "quick question: ",
    "question: ",
    "tell me, ",
    "hey ",
    "ok ",
    "and ",
    "please tell me ",
    "can you tell me ",
    "hi! ",
    "also, ",
    "do you know ",
    "i want to know ",
    "excuse me, ",
    "um, ",
    "well, ",
)
_AFTER = (" please", " thanks", ", please", " now", " for me", " thank you", ", thanks", " pls")


def noisy(text: str, rng: random.Random, typos: float = 0.05) -> str:
    """``text`` as somebody might type it."""
    if rng.random() < 0.12:
        text = rng.choice(_BEFORE) + text
    if rng.random() < 0.07:
        text += rng.choice(_AFTER)
    if rng.random() < typos:
        text = _typo(text, rng)
    return _punctuated(_cased(text, rng), rng)


def _cased(text: str, rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.45:
        return text[:1].upper() + text[1:]
    if roll < 0.70:
        return text
    if roll < 0.90:
        return text.lower()
    if roll < 0.91:
        return text.upper()
    return text.title() if roll < 0.92 else text[:1].upper() + text[1:]


def _punctuated(text: str, rng: random.Random) -> str:
    if text.endswith(("?", ".", "!")):
        return text
    return text + rng.choice(("", "", "", "", "?", "?", ".", "!", "...", " ?", "??"))


def _typo(text: str, rng: random.Random) -> str:
    """One letter dropped, doubled or swapped inside one longer word."""
    words = text.split(" ")
    places = [i for i, w in enumerate(words) if len(w) > 3 and w.isalpha()]
    if not places:
        return text
    i = rng.choice(places)
    word, at = words[i], rng.randint(1, len(words[i]) - 2)
    roll = rng.random()
    if roll < 0.4:
        words[i] = word[:at] + word[at + 1 :]
    elif roll < 0.6:
        words[i] = word[:at] + word[at] + word[at:]
    else:
        words[i] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)
