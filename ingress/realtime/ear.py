"""The ear: sound that comes in, and whose turn ends where.

Place in the path: between `input_audio_buffer` events and the conversation. Without a detector it
is a buffer that the client commits; with one, turns are found in it.
"""

from collections.abc import Iterator

from core.pcm import BYTES_PER_MS
from ingress.realtime.buffer import InputBuffer
from ingress.realtime.detector import FRAME_MS, LOUD_FRAMES, Change, Detector
from ingress.realtime.items import pcm_of
from ingress.realtime.outbox import new_id
from ingress.realtime.session import ServerVad

HINDSIGHT_MS = (LOUD_FRAMES + 1) * FRAME_MS
"""How much later than it begins speech is noticed."""


class Ear:
    """One session's.

    Args:
        turns: how turns are found; None leaves it to the client.
        longest_s: seconds of sound that may wait.
    """

    def __init__(self, turns: ServerVad | None, longest_s: float) -> None:
        self._buffer = InputBuffer(longest_s)
        self._turn_from = 0
        self.most_bytes = int(longest_s * 1000) * BYTES_PER_MS
        self.item_id = ""
        """Of the item that the turn which is being spoken will be."""
        self.detect(turns)

    @property
    def held_bytes(self) -> int:
        """That wait to be committed."""
        return self._buffer.held_bytes

    def detect(self, turns: ServerVad | None) -> None:
        """Find turns from now on as `turns` says."""
        self._turns = turns
        self._detector = None if turns is None else Detector(turns, self._buffer.end_ms)

    def hear(self, audio: str) -> Iterator[Change]:
        """Take base64 of PCM; each change before what comes after it is looked at.

        Raises InvalidRequest: not base64, or no room.
        """
        pcm = pcm_of(audio, "audio")
        self._buffer.append(pcm)
        for change in () if self._detector is None else self._detector.feed(pcm):
            if change.speaking:
                self.item_id, self._turn_from = new_id("item"), change.at_ms
            yield change

    def take_turn(self, end_ms: int) -> bytes:
        """The sound of the turn that ended."""
        return self._buffer.take(self._turn_from, end_ms)

    def take(self) -> bytes:
        """All of it. Raises InvalidRequest when that is next to nothing."""
        taken = self._buffer.take()
        self.detect(self._turns)
        return taken

    def clear(self) -> None:
        """Forget it."""
        self._buffer.clear()
        self.detect(self._turns)

    def forget_silence(self) -> None:
        """While nobody speaks, no more is kept than a turn may begin with."""
        if self._detector is not None and self._turns is not None and not self._detector.speaking:
            self._buffer.keep(self._turns.prefix_padding_ms + HINDSIGHT_MS)
