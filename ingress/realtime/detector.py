"""When somebody speaks: by how loud it is, and by nothing else.

Place in the path: fed with the sound that comes in, where the session asks for turns to be found
here (`server_vad`). It knows loudness: noise as loud as speech is speech to it, and whispering is
silence. A client that knows better turns it off and commits by itself.
"""

import math
from typing import NamedTuple

import numpy as np

from core.pcm import BYTES_PER_MS
from ingress.realtime.session import ServerVad

FRAME_MS = 20
FRAME_BYTES = FRAME_MS * BYTES_PER_MS
QUIETEST_DB, RANGE_DB = -60.0, 40.0
"""A threshold of 0 is -60 dB of full scale, of 1 is -20 dB; 0.5, as OpenAI's default, -40 dB."""
LOUD_FRAMES = 3
"""So many in a row begin speech: a click is shorter."""
FULL_SCALE = 32768.0


class Change(NamedTuple):
    """Speech began or ended. Milliseconds from the first sound of the session."""

    speaking: bool
    at_ms: int


class Detector:
    """One session's."""

    def __init__(self, settings: ServerVad, start_ms: int = 0) -> None:
        self._settings = settings
        level_db = QUIETEST_DB + RANGE_DB * settings.threshold
        self._level = FULL_SCALE * math.pow(10, level_db / 20)
        self._rest = b""
        self._now_ms = start_ms
        self._loud = 0
        self._quiet_ms = 0
        self.speaking = False

    def feed(self, pcm: bytes) -> list[Change]:
        """What `pcm` changes. Beginnings are told with the padding that the session asks for."""
        data = self._rest + pcm
        whole = len(data) // FRAME_BYTES * FRAME_BYTES
        self._rest = data[whole:]
        if not whole:
            return []
        frames = np.frombuffer(data[:whole], "<i2").reshape(-1, FRAME_BYTES // 2)
        levels = np.sqrt(np.square(frames.astype(np.float32)).mean(axis=1))
        changes = (self._frame(loud=bool(level >= self._level)) for level in levels)
        return [change for change in changes if change is not None]

    def _frame(self, *, loud: bool) -> Change | None:
        self._now_ms += FRAME_MS
        if not self.speaking:
            self._loud = self._loud + 1 if loud else 0
            return self._begun() if self._loud == LOUD_FRAMES else None
        self._quiet_ms = 0 if loud else self._quiet_ms + FRAME_MS
        if self._quiet_ms < self._settings.silence_duration_ms:
            return None
        self.speaking, self._loud = False, 0
        return Change(speaking=False, at_ms=self._now_ms)

    def _begun(self) -> Change:
        self.speaking, self._quiet_ms = True, 0
        first = self._now_ms - LOUD_FRAMES * FRAME_MS
        return Change(speaking=True, at_ms=max(0, first - self._settings.prefix_padding_ms))
