"""Ended calls: what the last calls of this replica took, for gateways that never heard their end.

Place in the path: step 4, inside the model's replica. A caller can go away while the end of an
answer is on its way to the gateway, and so can the gateway itself: then the engine has finished,
nothing is cut short, and so nobody reports it (`graphs.orphans`). The gateway asks for it here, or
the ledger does when the gateway's lease has run out (`graphs.recall`). It forgets the oldest.
"""

from collections.abc import Iterable

from core.model import Ended

MOST = 32_768
"""Calls that are remembered, of some 400 bytes: those of a lease, at 500 a second."""


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

    def of(self, request_ids: Iterable[str]) -> dict[str, Ended]:
        """What those calls took; nothing of those that did not end here, or long ago."""
        return {name: self._calls[name] for name in request_ids if name in self._calls}
