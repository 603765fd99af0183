"""Estimates: what requests usually take, learned from those that were settled.

Place in the path: step 3 asks how many tokens to reserve, step 5 tells how many there were.
Everything is in this process; `auth.shared_estimates` exchanges it with other gateways. Other
units of work are known before the work and need no learning.

Input and output are learned apart: a prompt's bound is its bytes, most of which are no token, and
an answer's is what its request allows. Requests are alike when they are for the same model and
their bounds are of the same power of two: one that allows ten tokens says nothing about one that
allows four thousand. What is usual is the 95th percentile, or the mean where a few long ones make
that larger: then the sum of many reservations covers the sum of what they really take.
"""

from dataclasses import replace
from math import ceil

from auth.quantile import Histogram, bucket_of
from core.work import WorkUnits

USUAL = 0.95
FLOOR = 16
"""Tokens that are always reserved, where the bound has as many."""
ENOUGH = 30
"""Answers of a model before it is believed; until then the bound is reserved."""
ENOUGH_OF_TENANT = 100
"""Answers of one tenant before its own replace everybody's."""
REFRESH = 16
"""Answers between two looks at the histogram."""
MOST_KINDS = 8_192
"""Kinds of requests that are remembered: the oldest goes."""
OUTPUT, INPUT = 1, -1
"""Signs of powers of two, which tell the two apart."""

Kind = tuple[str | None, str, int]
"""Tenant (None: everybody), model, power of two of the bound: negative for input."""


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
    """What requests take, by model and by tenant."""

    def __init__(self) -> None:
        self._usual: dict[Kind, _Usual] = {}
        self._unshared: dict[tuple[str, int, int], int] = {}

    def of(self, tenant_id: str, model_id: str, bound: WorkUnits) -> WorkUnits:
        """What to reserve for a request that takes at most `bound`: never more than that."""
        read = self._usually(tenant_id, model_id, INPUT, bound.input_tokens)
        written = self._usually(tenant_id, model_id, OUTPUT, bound.output_tokens)
        if read == bound.input_tokens and written == bound.output_tokens:
            return bound
        return replace(bound, input_tokens=read, output_tokens=written)

    def learn(self, tenant_id: str, model_id: str, bound: WorkUnits, actual: WorkUnits) -> None:
        """One answer has ended; what it took. One that read nothing was cut short before it did."""
        self._learn(tenant_id, model_id, OUTPUT, bound.output_tokens, actual.output_tokens)
        if actual.input_tokens:
            self._learn(tenant_id, model_id, INPUT, bound.input_tokens, actual.input_tokens)

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

    def _usually(self, tenant_id: str, model_id: str, side: int, most: int) -> int:
        if most <= FLOOR:
            return most
        usual = self._known(tenant_id, model_id, side * most.bit_length())
        return most if usual is None else min(most, max(usual, FLOOR))

    def _learn(self, tenant_id: str, model_id: str, side: int, most: int, tokens: int) -> None:
        if most <= FLOOR:
            return
        power = side * most.bit_length()
        self._kind((None, model_id, power)).add(tokens)
        self._kind((tenant_id, model_id, power)).add(tokens)
        entry = (model_id, power, bucket_of(tokens))
        self._unshared[entry] = self._unshared.get(entry, 0) + 1

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
