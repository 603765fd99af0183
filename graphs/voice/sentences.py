"""Sentences of a text that is still being written, as soon as each has ended.

Place in the path: between the chat's stream and the speech model. It cuts where speech models
pause anyway, and takes out what is written for the eye; it does not shorten what is long, as the
speech model does that itself.
"""

import re

from deployments.speech_text import END, PAUSE, WIDE_PAUSES, is_abbreviation

LONG = 160
"""Characters without an end, after which a pause will do: a listener should not wait for more."""
LONGEST = 400
"""Characters after which a blank will do, or any place."""
MARKUP = re.compile(r"```\w*|[*`#|~]+|(?<=\w)_(?=\w)|^\s*[-\u2022]\s+", re.MULTILINE)
LINK = re.compile(r"!?\[([^\]]*)\]\([^)\s]*\)")


class SentenceCutter:
    """Text goes in as it comes; whole sentences come out."""

    def __init__(self) -> None:
        self._text = ""

    def feed(self, text: str) -> list[str]:
        """The sentences that `text` completes, ready to be spoken."""
        self._text += text
        found = []
        while (end := self._end()) is not None:
            found.append(self._text[:end])
            self._text = self._text[end:]
        return _speakable(found)

    def rest(self) -> list[str]:
        """What is left when the text has ended."""
        text, self._text = self._text, ""
        return _speakable([text])

    def _end(self) -> int | None:
        """Where the first sentence ends; None while it has not, as far as can be seen."""
        for match in END.finditer(self._text, 0, LONGEST):
            piece = self._text[: match.start()].strip()
            if any(c.isalpha() for c in piece) and not is_abbreviation(piece):
                return match.end()
        return self._pause() if len(self._text) > LONG else None

    def _pause(self) -> int | None:
        """Where to cut what is long; not in a number such as 1,000."""
        text = self._text
        pauses = (m for m in PAUSE.finditer(text) if 1 < m.end() <= LONGEST)
        ends = [m.end() for m in pauses if m.group() or text[m.end() - 1] in WIDE_PAUSES]
        if ends or len(text) <= LONGEST:
            return ends[-1] if ends else None
        return (text.rfind(" ", 1, LONGEST) + 1) or LONGEST


def _speakable(pieces: list[str]) -> list[str]:
    """Without marks for the eye; pieces with nothing to say are left out."""
    texts = (" ".join(MARKUP.sub(" ", LINK.sub(r"\1", piece)).split()) for piece in pieces)
    return [text for text in texts if any(c.isalnum() for c in text)]
