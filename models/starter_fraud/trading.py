"""Trading of one account in one instrument over five minutes: honest traders, three manipulations.

Place in the path: training and evaluation only. The figures are invented to be plausible, not
taken from any market.
"""

import numpy as np

from models.starter_fraud.drawing import Cause, Columns, Generator, World, some


def ordinary(rng: Generator, count: int) -> Columns:
    """Private investors, market makers who cancel a lot, day traders, news."""
    maker = rng.random(count) < 0.08
    news = rng.random(count) < 0.05
    side = rng.choice((-1.0, 1.0), count)
    ordered = np.where(maker, rng.normal(0, 0.2, count), side * rng.beta(2, 1, count))
    filled = np.where(maker, rng.normal(0, 0.25, count), ordered * rng.uniform(0.6, 1, count))
    return {
        "orders_per_min": np.where(
            maker, rng.lognormal(4.5, 0.7, count), rng.lognormal(0.3, 0.9, count)
        ),
        "cancel_share": np.where(maker, rng.beta(20, 2.5, count), rng.beta(1.6, 5, count)),
        "cancel_ms": np.where(
            maker, rng.lognormal(7.2, 0.9, count), rng.lognormal(10.3, 1.2, count)
        ),
        "order_size_ratio": some(
            rng, rng.lognormal(0, 0.7, count), 0.02, rng.lognormal(2.2, 0.5, count)
        ),
        "order_imbalance": ordered,
        "fill_imbalance": filled,
        "linked_share": some(rng, rng.beta(0.3, 30, count), 0.015, rng.beta(2, 8, count)),
        "round_trip_share": some(rng, rng.beta(0.6, 18, count), 0.06, rng.beta(3, 6, count)),
        "counterparties": 1.0 + rng.poisson(np.where(maker, 40, 5)),
        "volume_ratio": np.where(
            news, rng.lognormal(1.3, 0.5, count), rng.lognormal(0, 0.5, count)
        ),
        "price_move_pct": np.where(news, rng.normal(1, 6, count), rng.normal(0, 1.1, count)),
        "mentions_ratio": np.where(
            news, rng.lognormal(1.7, 0.6, count), rng.lognormal(0, 0.5, count)
        ),
        "held_ratio": rng.lognormal(0, 0.6, count),
        "turnover": rng.lognormal(15.5, 1.8, count),
    }


def _spoofing(rng: Generator, before: Columns) -> Columns:
    """Huge orders on one side, gone before they fill; real trades on the other side."""
    count = len(before["turnover"])
    side = rng.choice((-1.0, 1.0), count)
    return {
        "order_size_ratio": rng.lognormal(2.6, 0.45, count),
        "cancel_share": rng.beta(30, 1.5, count),
        "cancel_ms": rng.lognormal(6, 0.7, count),
        "order_imbalance": side * rng.beta(10, 1.5, count),
        "fill_imbalance": -side * rng.beta(5, 2, count),
        "orders_per_min": rng.lognormal(2.8, 0.7, count),
    }


def _wash_trading(rng: Generator, before: Columns) -> Columns:
    """An owner who trades with himself, round and round, at one price."""
    count = len(before["turnover"])
    return {
        "linked_share": rng.beta(7, 3, count),
        "round_trip_share": rng.beta(8, 2.5, count),
        "counterparties": 1.0 + rng.poisson(0.7, count),
        "fill_imbalance": rng.normal(0, 0.08, count),
        "volume_ratio": rng.lognormal(1, 0.4, count),
        "price_move_pct": rng.normal(0, 0.4, count),
    }


def _pump_and_dump(rng: Generator, before: Columns) -> Columns:
    """Bought before the noise, sold into the rise, in something that few trade."""
    count = len(before["turnover"])
    return {
        "price_move_pct": 6 + rng.gamma(2, 7, count),
        "mentions_ratio": rng.lognormal(2.6, 0.5, count),
        "volume_ratio": rng.lognormal(2, 0.45, count),
        "held_ratio": rng.lognormal(1.9, 0.45, count),
        "order_imbalance": -rng.beta(6, 1.5, count),
        "fill_imbalance": -rng.beta(6, 1.5, count),
        "turnover": rng.lognormal(11.8, 1, count),
    }


def _quote_stuffing(rng: Generator, before: Columns) -> Columns:
    """Thousands of tiny orders both ways, gone at once, to slow everybody else down."""
    count = len(before["turnover"])
    return {
        "orders_per_min": rng.lognormal(8.6, 0.4, count),
        "cancel_share": 1 - rng.beta(1, 200, count),
        "cancel_ms": rng.lognormal(2, 0.4, count),
        "order_size_ratio": rng.lognormal(-2, 0.3, count),
        "order_imbalance": rng.normal(0, 0.05, count),
    }


TRADING = World(
    kind="trading",
    share=0.03,
    ordinary=ordinary,
    causes={
        "spoofing": Cause(
            _spoofing,
            frozenset(
                {
                    "order_size_ratio",
                    "cancel_share",
                    "cancel_ms",
                    "order_imbalance",
                    "fill_imbalance",
                }
            ),
        ),
        "wash trading": Cause(
            _wash_trading,
            frozenset({"linked_share", "round_trip_share", "counterparties", "fill_imbalance"}),
        ),
        "pump and dump": Cause(
            _pump_and_dump,
            frozenset(
                {
                    "price_move_pct",
                    "mentions_ratio",
                    "volume_ratio",
                    "held_ratio",
                    "fill_imbalance",
                    "turnover",
                }
            ),
        ),
    },
    unseen={
        "quote stuffing": Cause(
            _quote_stuffing, frozenset({"orders_per_min", "cancel_ms", "order_size_ratio"})
        )
    },
    rising=frozenset({"linked_share", "round_trip_share", "mentions_ratio", "held_ratio"}),
    falling=frozenset({"turnover"}),
)
