"""Risk measures on histories whose answer is known."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.market_data import Day
from deployments.market_risk import expected_shortfall, max_drawdown, risk, value_at_risk


def history(closes):
    return [Day(date(2026, 1, 1) + timedelta(days=i), c, None) for i, c in enumerate(closes)]


def test_value_at_risk_is_the_loss_that_one_day_in_twenty_exceeds():
    returns = [-(i + 1) / 1000 for i in range(100)]
    assert value_at_risk(returns, 0.95) == pytest.approx(0.096)
    assert value_at_risk(returns, 0.99) == pytest.approx(0.1)
    assert expected_shortfall(returns, 0.95) == pytest.approx(0.098)
    assert expected_shortfall(returns, 0.99) == pytest.approx(0.1)


def test_a_coin_that_only_rises_risks_nothing():
    measured = risk(history([1.0 * 1.01**i for i in range(40)]))
    assert measured["value_at_risk"] == {"95": 0.0, "99": 0.0}
    assert measured["max_drawdown"]["value"] == 0.0
    assert measured["total_return"] == pytest.approx(1.01**39 - 1)


def test_a_coin_that_stands_still_has_no_sharpe_ratio():
    assert risk(history([5.0] * 40))["sharpe_ratio"] is None


def test_the_drawdown_is_the_deepest_fall_with_its_days():
    measured = max_drawdown(history([10, 12, 9, 11, 20, 15, 8, 16]))
    assert measured == {"value": pytest.approx(0.6), "peak": "2026-01-05", "trough": "2026-01-07"}


def test_volatility_is_annualized_over_365_days():
    measured = risk(history([100.0, 110.0] * 20))
    assert measured["volatility_annualized"] / measured["volatility_daily"] == pytest.approx(
        365**0.5
    )


@given(st.lists(st.floats(1e-6, 1e6), min_size=3, max_size=200))
def test_measures_are_ordered_whatever_happened(closes):
    measured = risk(history(closes))
    var, shortfall = measured["value_at_risk"], measured["expected_shortfall"]
    assert 0 <= var["95"] <= var["99"] <= 1
    assert var["95"] <= shortfall["95"] + 1e-12
    assert shortfall["95"] <= shortfall["99"] + 1e-12
    assert 0 <= measured["max_drawdown"]["value"] < 1
