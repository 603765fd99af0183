"""Card payments: everyday spending, and three ways to steal.

Place in the path: training and evaluation only. The figures are invented to be plausible, not
measured from anybody's payments.
"""

import numpy as np

from core.fraud_features import MERCHANTS
from models.starter_fraud.drawing import Cause, Columns, Generator, World, pick, some

EVERYDAY = {
    "grocery": 0.3,
    "restaurant": 0.2,
    "fuel": 0.1,
    "retail": 0.18,
    "travel": 0.04,
    "electronics": 0.05,
    "digital": 0.09,
    "jewelry": 0.01,
    "gambling": 0.015,
    "money_transfer": 0.015,
}
RESOLD = {"electronics": 0.45, "jewelry": 0.25, "travel": 0.15, "money_transfer": 0.15}
TESTED_ON = {"digital": 0.75, "gambling": 0.1, "retail": 0.15}


def ordinary(rng: Generator, count: int) -> Columns:
    """Mostly small, near and by day; some travel, new phones, forgotten passwords, big days."""
    usual = rng.lognormal(3.3, 0.7, count)
    ratio = some(rng, rng.lognormal(-0.2, 0.6, count), 0.03, rng.uniform(3, 12, count))
    abroad = rng.random(count) < 0.04
    present = rng.random(count) < np.where(abroad, 0.75, 0.6)
    near, far = rng.lognormal(1.5, 1.2, count), rng.lognormal(6.8, 0.8, count)
    return {
        "amount": usual * ratio,
        "amount_ratio": ratio,
        "hour": some(rng, rng.normal(14.5, 3.8, count) % 24, 0.05, rng.uniform(0, 24, count)),
        "foreign": abroad.astype(float),
        "card_present": present.astype(float),
        "merchant_category": pick(rng, count, MERCHANTS, EVERYDAY),
        "distance_km": np.where(abroad, far, near),
        "transactions_1h": some(rng, rng.poisson(0.3, count), 0.01, rng.poisson(4, count)).astype(
            float
        ),
        "declines_1h": some(rng, rng.poisson(0.03, count), 0.01, rng.poisson(1.5, count)).astype(
            float
        ),
        "account_age_days": rng.exponential(1500, count) + 1,
        "device_age_days": some(rng, rng.exponential(300, count), 0.03, rng.random(count)),
        "credential_age_days": some(rng, rng.exponential(500, count), 0.02, rng.random(count)),
        "failed_logins_24h": some(
            rng, rng.poisson(0.08, count), 0.02, rng.poisson(2.5, count)
        ).astype(float),
        "address_mismatch": (rng.random(count) < 0.05).astype(float),
    }


def _stolen_card(rng: Generator, before: Columns) -> Columns:
    """Abroad, at night, far more than usual, for what can be sold on."""
    count = len(before["amount"])
    usual = before["amount"] / before["amount_ratio"]
    ratio = rng.lognormal(1.9, 0.45, count)
    return {
        "foreign": np.ones(count),
        "hour": rng.uniform(0, 5.5, count),
        "amount_ratio": ratio,
        "amount": usual * ratio,
        "distance_km": rng.lognormal(7.8, 0.5, count),
        "merchant_category": pick(rng, count, MERCHANTS, RESOLD),
    }


def _account_takeover(rng: Generator, before: Columns) -> Columns:
    """A new device, fresh credentials after failed logins, goods sent elsewhere."""
    count = len(before["amount"])
    usual = before["amount"] / before["amount_ratio"]
    ratio = rng.lognormal(0.9, 0.5, count)
    return {
        "device_age_days": rng.uniform(0, 0.5, count),
        "credential_age_days": rng.uniform(0, 1, count),
        "failed_logins_24h": 1.0 + rng.poisson(4, count),
        "address_mismatch": np.ones(count),
        "card_present": np.zeros(count),
        "amount_ratio": ratio,
        "amount": usual * ratio,
    }


def _card_testing(rng: Generator, before: Columns) -> Columns:
    """Many tiny payments in an hour to learn which stolen numbers work."""
    count = len(before["amount"])
    usual = before["amount"] / before["amount_ratio"]
    amount = rng.uniform(0.3, 4, count)
    return {
        "amount": amount,
        "amount_ratio": amount / usual,
        "transactions_1h": 4.0 + rng.poisson(9, count),
        "declines_1h": 2.0 + rng.poisson(5, count),
        "merchant_category": pick(rng, count, MERCHANTS, TESTED_ON),
        "card_present": np.zeros(count),
    }


TRANSACTIONS = World(
    kind="transaction",
    share=0.02,
    ordinary=ordinary,
    causes={
        "stolen card": Cause(
            _stolen_card,
            frozenset(
                {"foreign", "hour", "amount_ratio", "amount", "distance_km", "merchant_category"}
            ),
        ),
        "account takeover": Cause(
            _account_takeover,
            frozenset(
                {
                    "device_age_days",
                    "credential_age_days",
                    "failed_logins_24h",
                    "address_mismatch",
                }
            ),
        ),
        "card testing": Cause(
            _card_testing, frozenset({"transactions_1h", "declines_1h", "amount"})
        ),
    },
    unseen={},
    rising=frozenset({"declines_1h", "failed_logins_24h", "address_mismatch", "foreign"}),
    falling=frozenset({"device_age_days", "credential_age_days"}),
)
