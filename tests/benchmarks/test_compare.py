"""Turns and rows: what counts, in which order, and what a bound is of."""

import pytest

from benchmarks.compare import Measured, Rule, Target, compared, take_turns
from benchmarks.gateway_rows import Effort


def test_sides_go_first_in_turn_and_turns_that_warm_up_do_not_count():
    seen = []

    def side(name, value):
        def measure():
            seen.append(name)
            return Measured(value + len(seen))

        return measure

    turns = take_turns(3, side("ours", 0), side("peer", 100), thrown_away=1)
    assert seen == ["ours", "peer", "peer", "ours", "ours", "peer", "peer", "ours"]
    assert [(ours.value, peer.value) for ours, peer in turns] == [(4, 103), (5, 106), (8, 107)]


@pytest.mark.parametrize(
    ("rule", "bound", "met"),
    [
        (Rule.RATIO_AT_LEAST, 2, True),
        (Rule.RATIO_AT_LEAST, 2.1, False),
        (Rule.RATIO_AT_MOST, 2, True),
        (Rule.RATIO_AT_MOST, 1.9, False),
        (Rule.DIFFERENCE_AT_MOST, 10, True),
        (Rule.DIFFERENCE_AT_MOST, 9, False),
    ],
)
def test_a_bound_is_of_the_median_of_the_turns_own_ratios_and_differences(rule, bound, met):
    turns = [
        (Measured(20), Measured(10)),
        (Measured(3), Measured(1)),
        (Measured(100), Measured(90)),
    ]
    row = compared("row", "ms", turns, Target(rule, bound), peer_name="peer")
    assert (row.ratio, row.difference, row.met) == (2, 10, met)


def test_brief_turns_are_more_and_take_about_as_long_in_all():
    effort = Effort()
    brief = effort.in_brief_turns
    assert brief.repeats >= 9
    assert brief.repeats % 2 == 1
    assert brief.repeats * brief.seconds <= 1.2 * effort.repeats * effort.seconds
