"""Ended calls: what the last calls of this replica took, for gateways that never heard their end.

Place in the path: step 4, inside the model's replica. A caller can go away while the end of an
answer is on its way to the gateway: then the engine has finished, nothing is cut short, and so
nobody reports it (`graphs.orphans`). The gateway asks for it here. It forgets the oldest.
"""

from core.model import Ended

MOST = 4_096
"""Calls that are remembered. Gateways ask within seconds."""


class EndedCalls:
    """The last calls that ended, by request id."""

    def __init__(self, most: int = MOST) -> None:
        self._calls: dict[str, Ended] = {}
        self._most = most

    def note(self, request_id: str, ended: Ended) -> None:
        """Remember one."""
        if len(self._calls) >= self._most:
            del self._calls[next(iter(self._calls))]
        self._calls[request_id] = ended

    def of(self, request_id: str) -> Ended | None:
        """What that call took; None when it did not end here, or long ago."""
        return self._calls.get(request_id)
