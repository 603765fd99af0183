"""Text for speech: sentences short enough to be spoken one by one.

Place in the path: before synthesis. Small pieces make the first audio leave early and keep memory
small whatever the text; the split is by marks alone, so it holds for every language.
"""

import re

LONGEST = 200
"""Characters spoken in one go: beyond it, models lose their way."""
WIDE_ENDS, WIDE_PAUSES = "\u3002\uff01\uff1f", "\u3001\uff0c\uff1b\uff1a"
"""Full-width marks of Chinese and Japanese, which no blank follows."""
END_MARKS = ".!?\u2026" + WIDE_ENDS
CLOSING = "\"'\u201d\u2019)\\]"
END = re.compile(rf"(?<=[{END_MARKS}])[{CLOSING}]*\s+|(?<=[{WIDE_ENDS}])|\n+")
PAUSE = re.compile(rf"(?<=[,;:{WIDE_PAUSES}])\s*|\s+[-\u2013\u2014]\s+")
ABBREVIATIONS = ("mr", "mrs", "ms", "dr", "st", "prof", "vs", "e.g", "i.e", "no")


def sentences(text: str) -> list[str]:
    """The speakable pieces of `text`, in order, each with an end mark; empty if there are none."""
    found = list[str]()
    for piece in (" ".join(part.split()) for part in END.split(text)):
        if found and is_abbreviation(found[-1]):
            found[-1] += f" {piece}"
        elif piece:
            found.append(piece)
    shorter = (part for piece in found for part in _shortened(piece))
    return [_ended(part) for part in shorter if any(c.isalnum() for c in part)]


def is_abbreviation(piece: str) -> bool:
    """Whether the mark that `piece` ends with is an abbreviation's."""
    last = piece.rsplit(" ", 1)[-1]
    word = last.removesuffix(".").lower()
    return last.endswith(".") and (word in ABBREVIATIONS or (len(word) == 1 and word.isalpha()))


def _shortened(piece: str) -> list[str]:
    """`piece` cut at pauses, then at blanks, then anywhere."""
    for pattern in (PAUSE, re.compile(r"\s+")):
        if len(piece) <= LONGEST:
            return [piece]
        parts = _packed(pattern.split(piece))
        if len(parts) > 1:
            return [short for part in parts for short in _shortened(part)]
    return [piece[at : at + LONGEST] for at in range(0, len(piece), LONGEST)]


def _packed(parts: list[str]) -> list[str]:
    """Neighbours joined as long as they are not too long together."""
    packed = [parts[0]]
    for part in parts[1:]:
        if len(packed[-1]) + 1 + len(part) <= LONGEST:
            packed[-1] = f"{packed[-1]} {part}".strip()
        else:
            packed.append(part)
    return packed


def _ended(piece: str) -> str:
    return piece if piece[-1] in END_MARKS else piece.rstrip(f",;: -{WIDE_PAUSES}") + "."
