"""Words that say which way a market goes: what the text classifier counts beside the meaning.

Place in the path: shared by training and the deployment. A sentence encoder knows that "soars" and
"plunges" are about the same thing, and that is the trouble: it puts them close together. Counting
settles the direction; a negation shortly before a word turns it. English. Written for this
repository.
"""

import re

import yaml

from models.starter_forecast import LEXICON

LONGEST_REACH = 3
"""Words that a negation reaches over."""
MOST_COUNTED = 3

_LISTS = {name: stems.split() for name, stems in yaml.safe_load(LEXICON.read_text()).items()}
TURNS = frozenset(_LISTS["turns"])
WORDS = re.compile(r"[a-z][a-z'-]*")


def _pattern(stems: list[str]) -> re.Pattern[str]:
    ends = (re.escape(s[:-1]) + "$" if s.endswith("!") else re.escape(s) for s in stems)
    return re.compile("|".join(ends))


_UP, _DOWN = _pattern(_LISTS["up"]), _pattern(_LISTS["down"])


def counts(text: str) -> tuple[float, float]:
    """(words that point up, words that point down), each from 0 to 1."""
    up, down, reach = 0, 0, 0
    for word in WORDS.findall(text.lower()):
        if word in TURNS:
            reach = LONGEST_REACH
            continue
        rises, falls = bool(_UP.match(word)), bool(_DOWN.match(word))
        if reach:
            rises, falls = falls, rises
        up, down, reach = up + rises, down + falls, max(0, reach - 1)
    return min(up, MOST_COUNTED) / MOST_COUNTED, min(down, MOST_COUNTED) / MOST_COUNTED
