"""Waking: what callers of a sleeping model are told, and how long they wait.

Place in the path: step 4, when the model has no running replica. The call is already in Serve's
queue, which is bounded and is what makes the autoscaler start a replica: a herd of callers causes
one load. Here the caller waits for that replica, or is sent away with an honest estimate; the
load goes on (`ingress.dispatch`). It starts and stops nothing.
"""

import time
from dataclasses import dataclass

from core.errors import ModelLoading
from core.model import ModelCard
from ingress.readiness import Readiness

NEARLY = 0.95
"""Progress of a load that takes longer than the last one did."""
LEAST_ETA_S = 1.0
OVERDUE = 0.25
"""What a load that takes longer than expected is given: this share of what it took so far."""


@dataclass(slots=True)
class Wake:
    """One load under way, or the last one."""

    began: float
    expected_s: float
    over: bool = False


class Waking:
    """Loads seen by this gateway, per application."""

    def __init__(self, readiness: Readiness, patience_s: float) -> None:
        self._readiness = readiness
        self.patience_s = patience_s
        self._wakes: dict[str, Wake] = {}
        readiness.subscribe(self._look)

    def is_asleep(self, card: ModelCard) -> bool:
        """Whether the model's application is fine and has no replica."""
        state = self._readiness.of(card.application_name)
        return state is not None and state.asleep

    async def wait(self, card: ModelCard) -> None:
        """Until a replica of `card` runs. Raises ModelLoading when patience ends first."""
        self._begin(card)
        if not await self._readiness.until_serving(card.application_name, self.patience_s):
            raise self.loading(card)
        self._look()

    def loading(self, card: ModelCard) -> ModelLoading:
        """The error for a caller who cannot wait any longer."""
        wake = self._begin(card)
        elapsed = time.monotonic() - wake.began
        progress = min(elapsed / wake.expected_s, NEARLY)
        eta_s = max(wake.expected_s - elapsed, OVERDUE * elapsed, LEAST_ETA_S)
        message = f"the model '{card.id}' is waking up"
        return ModelLoading(message, None, eta_s, round(progress, 2))

    def _look(self) -> None:
        """End the loads whose replica runs, also those that nobody waits for any more."""
        for name, wake in self._wakes.items():
            state = self._readiness.of(name)
            if not wake.over and state is not None and state.serving:
                wake.over, wake.expected_s = True, time.monotonic() - wake.began

    def _begin(self, card: ModelCard) -> Wake:
        name = card.application_name
        last = self._wakes.get(name)
        if last is None or last.over:
            expected_s = last.expected_s if last else card.wake_s
            self._wakes[name] = Wake(time.monotonic(), max(expected_s, LEAST_ETA_S))
        return self._wakes[name]
