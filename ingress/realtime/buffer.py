"""Sound that comes in and is not committed yet.

Place in the path: filled by `input_audio_buffer.append`, emptied by a commit, by the client or when
the detector hears that a turn has ended. It holds a bounded time and counts every millisecond of
the session, heard or not.
"""

from core.errors import InvalidRequest
from core.pcm import BYTES_PER_MS, SAMPLE_BYTES

SHORTEST_MS = 100


class InputBuffer:
    """One session's.

    Args:
        longest_s: what it holds at most.
    """

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._data = bytearray()
        self._begins = 0
        """Bytes of the session before those that it holds."""

    @property
    def end_ms(self) -> int:
        """Milliseconds of sound since the session began."""
        return (self._begins + len(self._data)) // BYTES_PER_MS

    @property
    def held_bytes(self) -> int:
        return len(self._data)

    def append(self, pcm: bytes) -> None:
        """Raises InvalidRequest when there is no room: nothing was added."""
        if len(self._data) + len(pcm) > self._longest_s * 1000 * BYTES_PER_MS:
            raise InvalidRequest(
                f"the buffer holds {self._longest_s:g} seconds: commit or clear it first", "audio"
            )
        self._data += pcm

    def keep(self, ms: int) -> None:
        """Forget all but the last `ms`: nobody speaks."""
        self._drop(max(0, len(self._data) - ms * BYTES_PER_MS))

    def clear(self) -> None:
        self._drop(len(self._data))

    def take(self, from_ms: int = 0, to_ms: int | None = None) -> bytes:
        """What it holds of a stretch of the session; what came before is forgotten.

        Raises InvalidRequest when that is next to nothing.
        """
        first = max(0, from_ms * BYTES_PER_MS - self._begins)
        end = len(self._data) if to_ms is None else to_ms * BYTES_PER_MS - self._begins
        taken = bytes(self._data[first:end])
        if len(taken) < SHORTEST_MS * BYTES_PER_MS:
            raise InvalidRequest(
                f"the buffer holds {len(taken) / BYTES_PER_MS:.0f} ms of sound: "
                f"a commit takes {SHORTEST_MS} ms or more"
            )
        self._drop(first + len(taken))
        return taken[: len(taken) // SAMPLE_BYTES * SAMPLE_BYTES]

    def _drop(self, count: int) -> None:
        # By whole samples, or what follows would be noise.
        count -= count % SAMPLE_BYTES
        del self._data[:count]
        self._begins += count
