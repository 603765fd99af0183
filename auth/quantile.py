"""A quantile of what was seen lately, in a few hundred bytes.

Place in the path: under `auth.estimates`. A histogram whose buckets grow with the values (eight to
an octave, as in HdrHistogram), whose counts are halved whenever there are many: so it forgets. What
it says is never below the true quantile of what it remembers, and at most an eighth above it.
"""

from collections.abc import Mapping

EXACT = 16
"""Values below have buckets of their own."""
PARTS = 8
"""Buckets of each octave above."""
LEAST_OCTAVE = EXACT.bit_length() - 1
PARTS_BITS = PARTS.bit_length() - 1
KEEP = 1_024.0
"""Weight at which counts are halved."""
LIGHTEST = 0.01
"""Weight below which a bucket is forgotten altogether."""


def bucket_of(value: int) -> int:
    """The bucket of a non-negative value."""
    if value < EXACT:
        return value
    octave = value.bit_length() - 1
    part = (value >> (octave - PARTS_BITS)) & (PARTS - 1)
    return EXACT + (octave - LEAST_OCTAVE) * PARTS + part


def top_of(bucket: int) -> int:
    """The largest value of a bucket."""
    if bucket < EXACT:
        return bucket
    octaves, part = divmod(bucket - EXACT, PARTS)
    return ((PARTS + part + 1) << (octaves + LEAST_OCTAVE - PARTS_BITS)) - 1


class Histogram:
    """Counts of values seen lately.

    Args:
        counts: by bucket, to begin with; scaled down to what is kept.
    """

    __slots__ = ("counts", "weight")

    def __init__(self, counts: Mapping[int, float] | None = None) -> None:
        self.counts: dict[int, float] = {}
        self.weight = 0.0
        """Of all counts: how many values it remembers."""
        if counts:
            total = sum(counts.values())
            scale = min(1.0, KEEP / 2 / total)
            self.counts = {bucket: scale * count for bucket, count in counts.items()}
            self.weight = scale * total

    def add(self, value: int) -> None:
        """Remember one more value, none negative."""
        bucket = bucket_of(value)
        self.counts[bucket] = self.counts.get(bucket, 0.0) + 1.0
        self.weight += 1.0
        if self.weight >= KEEP:
            self._fade()

    def quantile(self, share: float) -> int:
        """What `share` of the values remembered do not exceed, rounded up to a bucket."""
        wanted, passed = share * self.weight, 0.0
        bucket = 0
        for bucket in sorted(self.counts):
            passed += self.counts[bucket]
            if passed >= wanted:
                break
        return top_of(bucket)

    def mean(self) -> float:
        """Of the values, each rounded up to its bucket; 0 when there are none."""
        total = sum(count * top_of(bucket) for bucket, count in self.counts.items())
        return total / self.weight if self.weight else 0.0

    def _fade(self) -> None:
        halved = {bucket: count / 2 for bucket, count in self.counts.items()}
        self.counts = {bucket: count for bucket, count in halved.items() if count >= LIGHTEST}
        self.weight = sum(self.counts.values())
