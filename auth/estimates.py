"""Estimates: what answers usually take, learned from those that were settled.

Place in the path: step 3 asks how many output tokens to reserve, step 5 tells how many there were.
Everything is in this process; `auth.shared_estimates` exchanges it with other gateways. Other
units of work are known before the work and need no learning.

Requests are alike when they are for the same model and their bounds are of the same power of two:
one that allows ten tokens says nothing about one that allows four thousand. What is usual is the
95th percentile, or the mean where a few long answers make that larger: then the sum of many
reservations covers the sum of what they really take.
"""

from dataclasses import replace
from math import ceil

from auth.quantile import Histogram, bucket_of
from core.work import WorkUnits

USUAL = 0.95
FLOOR = 16
"""Output tokens that are always reserved, where the bound has as many."""
ENOUGH = 30
"""Answers of a model before it is believed; until then the bound is reserved."""
ENOUGH_OF_TENANT = 100
"""Answers of one tenant before its own replace everybody's."""
REFRESH = 16
"""Answers between two looks at the histogram."""
MOST_KINDS = 4_096
"""Kinds of requests that are remembered: the oldest goes."""

Kind = tuple[str | None, str, int]
"""Tenant (None: everybody), model, power of two of the bound."""


class _Usual:
    """What requests of one kind take."""

    __slots__ = ("_asked_at", "_value", "histogram")

    def __init__(self) -> None:
        self.histogram = Histogram()
        self._value = 0
        self._asked_at = 0

    def add(self, tokens: int) -> None:
        self.histogram.add(tokens)
        self._asked_at -= 1

    def become(self, histogram: Histogram) -> None:
        self.histogram = histogram
        self._asked_at = 0

    @property
    def value(self) -> int:
        """Output tokens; a little old between two looks."""
        if self._asked_at <= 0:
            self._asked_at = REFRESH
            self._value = max(self.histogram.quantile(USUAL), ceil(self.histogram.mean()))
        return self._value


class Estimates:
    """What answers take, by model and by tenant."""

    def __init__(self) -> None:
        self._usual: dict[Kind, _Usual] = {}
        self._unshared: dict[tuple[str, int, int], int] = {}

    def of(self, tenant_id: str, model_id: str, bound: WorkUnits) -> WorkUnits:
        """What to reserve for a request that takes at most `bound`: never more than that."""
        most = bound.output_tokens
        if most <= FLOOR:
            return bound
        usual = self._known(tenant_id, model_id, most.bit_length())
        if usual is None or usual >= most:
            return bound
        return replace(bound, output_tokens=max(usual, FLOOR))

    def learn(self, tenant_id: str, model_id: str, bound: WorkUnits, actual: WorkUnits) -> None:
        """One answer has ended; what it took."""
        if bound.output_tokens <= FLOOR:
            return
        power = bound.output_tokens.bit_length()
        tokens = actual.output_tokens
        self._kind((None, model_id, power)).add(tokens)
        self._kind((tenant_id, model_id, power)).add(tokens)
        entry = (model_id, power, bucket_of(tokens))
        self._unshared[entry] = self._unshared.get(entry, 0) + 1

    def take_unshared(self) -> dict[tuple[str, int, int], int]:
        """Counts by model, power and bucket that other gateways have not been told yet."""
        counts, self._unshared = self._unshared, {}
        return counts

    def give_back(self, counts: dict[tuple[str, int, int], int]) -> None:
        """Counts that could not be told."""
        for entry, count in counts.items():
            self._unshared[entry] = self._unshared.get(entry, 0) + count

    def take_over(self, counts: dict[tuple[str, int], dict[int, float]]) -> None:
        """What all gateways have seen, by model and power: counts by bucket."""
        for (model_id, power), buckets in counts.items():
            self._kind((None, model_id, power)).become(Histogram(buckets))

    def _known(self, tenant_id: str, model_id: str, power: int) -> int | None:
        own = self._usual.get((tenant_id, model_id, power))
        if own is not None and own.histogram.weight >= ENOUGH_OF_TENANT:
            return own.value
        everybody = self._usual.get((None, model_id, power))
        if everybody is not None and everybody.histogram.weight >= ENOUGH:
            return everybody.value
        return None

    def _kind(self, kind: Kind) -> _Usual:
        usual = self._usual.get(kind)
        if usual is None:
            if len(self._usual) >= MOST_KINDS:
                del self._usual[next(iter(self._usual))]
            usual = self._usual[kind] = _Usual()
        return usual
