"""What the histogram says of values it saw, against what is true of them."""

import random
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from auth.quantile import KEEP, Histogram, bucket_of, top_of

values = st.lists(st.integers(0, 2**40), min_size=1, max_size=int(KEEP) - 1)


def true_quantile(seen: list[int], share: float) -> int:
    return sorted(seen)[max(0, ceil(share * len(seen)) - 1)]


@given(st.integers(0, 2**60))
def test_a_bucket_ends_at_most_an_eighth_above_its_values(value: int):
    top = top_of(bucket_of(value))
    assert value <= top <= value * 9 / 8
    assert bucket_of(top) == bucket_of(value)
    assert bucket_of(top + 1) == bucket_of(value) + 1


@given(values, st.sampled_from([0.5, 0.9, 0.95, 0.99, 1.0]))
def test_a_quantile_is_never_too_low_and_at_most_an_eighth_too_high(seen: list[int], share: float):
    histogram = Histogram()
    for value in seen:
        histogram.add(value)
    true = true_quantile(seen, share)
    assert true <= histogram.quantile(share) <= true * 9 / 8
    mean = sum(seen) / len(seen)
    assert mean * 0.999999 <= histogram.mean() <= mean * 1.1250001


@given(values, values)
def test_counts_of_two_gateways_together_say_what_one_would_have_said(a: list[int], b: list[int]):
    both: dict[int, float] = {}
    for value in a + b:
        both[bucket_of(value)] = both.get(bucket_of(value), 0) + 1
    true = true_quantile(a + b, 0.5)
    # Scaling down is division: it may be a rounding error away from the next value.
    assert Histogram(both).quantile(0.5) >= true_quantile(a + b, 0.499)
    assert Histogram(both).quantile(0.499) <= top_of(bucket_of(true))


def test_it_forgets_what_was_long_ago():
    histogram = Histogram()
    for _ in range(10_000):
        histogram.add(4_000)
    for _ in range(int(3 * KEEP)):
        histogram.add(50)
    assert histogram.quantile(0.95) <= 50 * 9 / 8
    for _ in range(int(3 * KEEP)):
        histogram.add(4_000)
    assert histogram.quantile(0.95) >= 4_000


def test_it_stays_small_however_long_it_runs():
    histogram, chance = Histogram(), random.Random(7)
    for _ in range(50_000):
        histogram.add(int(chance.lognormvariate(5, 2)))
    assert len(histogram.counts) < 200
    assert histogram.weight < KEEP


def test_one_that_has_seen_nothing_says_zero():
    assert (Histogram().quantile(0.95), Histogram().mean()) == (0, 0.0)
