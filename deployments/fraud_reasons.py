"""Reasons: what moved a score, in words that a person who decides can use.

Place in the path: step 4, after the trees gave each feature's contribution. It words them; it
computes none of them.
"""

from typing import Any

from core.fraud_features import FEATURES, Feature, Kind

MOST_REASONS = 5
LEAST_CONTRIBUTION = 0.01
"""Log-odds. Less than this moves no decision."""
NOVELTY = "novelty"

TEXTS = {
    "amount": "the amount is {:,.2f}",
    "amount_ratio": "the amount is {figure} times the account's usual one",
    "hour": "the local time is {clock}",
    "merchant_category": "the merchant's category is {}",
    "distance_km": "the card's last payment was {figure} km away",
    "transactions_1h": "payments of this card in the last hour: {figure}",
    "declines_1h": "declined attempts of this card in the last hour: {figure}",
    "account_age_days": "the account is {figure} days old",
    "device_age_days": "the device was first seen {figure} days ago",
    "credential_age_days": "password, mail or phone changed {figure} days ago",
    "failed_logins_24h": "failed logins in the last 24 hours: {figure}",
    "bytes_out": "bytes sent in the minute: {:,.0f}",
    "bytes_in": "bytes received in the minute: {:,.0f}",
    "packets_out": "packets sent in the minute: {:,.0f}",
    "packets_in": "packets received in the minute: {:,.0f}",
    "duration_s": "the median flow lasted {figure} s",
    "protocol": "most flows are {}",
    "distinct_ports": "ports tried in the minute: {:,.0f}",
    "distinct_hosts": "hosts tried in the minute: {:,.0f}",
    "connections": "flows opened in the minute: {:,.0f}",
    "sources": "sources that talk to the destination: {:,.0f}",
    "unanswered_share": "{:.0%} of the flows got no answer",
    "failed_logins": "failed logins in the minute: {:,.0f}",
    "destination_age_days": "the destination was first seen {figure} days ago",
    "orders_per_min": "orders sent per minute: {figure}",
    "cancel_share": "{:.0%} of the orders were cancelled before a fill",
    "cancel_ms": "cancelled orders lived {:,.0f} ms in the median",
    "order_size_ratio": "the largest order is {figure} times the market's usual one",
    "order_imbalance": "orders lean {:+.2f} (1 is all buying, -1 all selling)",
    "fill_imbalance": "trades lean {:+.2f} (1 is all buying, -1 all selling)",
    "linked_share": "{:.0%} of the volume is with accounts of the same owner",
    "round_trip_share": "{:.0%} of the volume was bought and sold back at the same price",
    "counterparties": "distinct counterparties: {:,.0f}",
    "volume_ratio": "the instrument's volume is {figure} times its usual one",
    "price_move_pct": "the price moved {:+.2f} %",
    "mentions_ratio": "public mentions are {figure} times their usual number",
    "held_ratio": "the position built up before is {figure} times the usual one",
    "turnover": "the instrument's usual daily turnover is {:,.0f}",
}
"""What each number or choice says, with the value in `{}`, or short in `{figure}`."""

FLAG_TEXTS = {
    "foreign": ("the merchant is in the card's country", "the merchant is in another country"),
    "card_present": ("the card was not present", "the card was present"),
    "address_mismatch": (
        "the delivery address is the billing address",
        "the delivery address is not the billing address",
    ),
    "external": ("the destination is inside the network", "the destination is outside the network"),
}
"""What each flag says when it is false, and when it is true."""


def reasons(
    kind: Kind, values: list[float], contributions: list[float], *, suspicious: bool
) -> list[dict[str, Any]]:
    """What speaks for the decision on one row, strongest first, at most `MOST_REASONS`.

    Args:
        values: of the row, in the order of `FEATURES`; NaN is unknown.
        contributions: log-odds of each; positive ones raise the score.
        suspicious: whether to tell what raises the score or what lowers it.
    """
    sign = 1.0 if suspicious else -1.0
    told = [index for index, c in enumerate(contributions) if sign * c >= LEAST_CONTRIBUTION]
    told.sort(key=lambda index: -sign * contributions[index])
    return [
        _reason(FEATURES[kind][index], values[index], contributions[index])
        for index in told[:MOST_REASONS]
    ]


def novelty_reason(surprise: float, limit: float) -> dict[str, Any]:
    """Why a row whose score is low is looked at all the same."""
    text = f"the row is unlike any that the model knows ({surprise:,.0f} nats, limit {limit:,.0f})"
    return {
        "feature": NOVELTY,
        "value": round(surprise, 3),
        "contribution": None,
        "text": text,
    }


def _reason(feature: Feature, value: float, contribution: float) -> dict[str, Any]:
    effect = "raises the risk" if contribution > 0 else "lowers the risk"
    return {
        "feature": feature.name,
        "value": plain_value(feature, value),
        "contribution": round(contribution, 4),
        "text": f"{_text(feature, value)}, which {effect}",
    }


def plain_value(feature: Feature, value: float) -> float | bool | str | None:
    """A value as a caller would write it."""
    if value != value:  # noqa: PLR0124 - NaN is unknown
        return None
    if feature.choices:
        return feature.choices[int(value)]
    if feature.unit == "flag":
        return bool(value)
    return float(f"{value:.6g}")  # float32 has no more digits


def _text(feature: Feature, value: float) -> str:
    plain = plain_value(feature, value)
    if plain is None:
        return f"{feature.name} is not known"
    if isinstance(plain, bool):
        return FLAG_TEXTS[feature.name][plain]
    if isinstance(plain, str):
        return TEXTS[feature.name].format(plain)
    return TEXTS[feature.name].format(plain, figure=_figure(plain), clock=_clock(plain))


def _figure(number: float) -> str:
    """Three digits, and never an exponent in front of people."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"  # noqa: PLR2004


def _clock(hour: float) -> str:
    hours, minutes = divmod(round(hour * 60), 60)
    return f"{hours:02}:{minutes:02}"
