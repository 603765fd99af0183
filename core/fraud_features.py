"""What a fraud detector is told of a row: names, units, bounds and meaning, in column order.

Place in the path: read by `core.fraud_rows` to check requests, by training to draw rows, and by
the detector to name its columns. It is a table; it checks nothing itself.

All values are numbers to the model: a flag is 0 or 1, a choice is its position in `choices`.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

Kind = Literal["transaction", "network", "trading"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Feature:
    """One column.

    Args:
        low: smallest value that is accepted.
        high: largest value that is accepted.
        unit: of a number; "flag" for true or false, "choice" for one of `choices`.
        about: what is measured, for the API's schema and its documentation.
        required: every row must give it. What is not required may be absent or null: unknown.
    """

    name: str
    low: float
    high: float
    unit: str
    about: str
    required: bool = False
    choices: tuple[str, ...] = ()

    @property
    def accepts(self) -> str:
        """What a value must be, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.unit == "flag":
            return "true or false"
        return f"a finite number from {self.low:,.10g} to {self.high:,.10g} ({self.unit})"

    def schema(self) -> dict[str, Any]:
        """JSON schema of a value."""
        schema: dict[str, Any] = {"type": "number", "minimum": self.low, "maximum": self.high}
        if self.choices:
            schema = {"enum": list(self.choices)}
        elif self.unit == "flag":
            schema = {"type": "boolean"}
        return schema | {"description": f"{self.about} ({self.unit})"}


def _number(
    name: str, high: float, unit: str, about: str, *, low: float = 0.0, required: bool = False
) -> Feature:
    return Feature(name, low, high, unit, about, required)


def _flag(name: str, about: str) -> Feature:
    return Feature(name, 0.0, 1.0, "flag", about)


def _choice(name: str, about: str, choices: tuple[str, ...]) -> Feature:
    return Feature(name, 0.0, len(choices) - 1.0, "choice", about, choices=choices)


MERCHANTS = (
    "grocery",
    "restaurant",
    "fuel",
    "retail",
    "travel",
    "electronics",
    "digital",
    "jewelry",
    "gambling",
    "money_transfer",
)
PROTOCOLS = ("tcp", "udp", "icmp")

FEATURES: dict[Kind, tuple[Feature, ...]] = {
    "transaction": (
        _number("amount", 1e7, "units of the card's currency", "Amount", required=True),
        _number("amount_ratio", 1e5, "times", "Amount over the account's usual amount, 90 days"),
        _number("hour", 24, "hours after midnight", "Local time at the card holder"),
        _flag("foreign", "The merchant's country is not the card's"),
        _flag("card_present", "Chip or contactless, not typed in"),
        _choice("merchant_category", "What the merchant sells", MERCHANTS),
        _number("distance_km", 20_040, "km", "Distance from the card's last payment"),
        _number("transactions_1h", 1e5, "payments", "Payments of this card in the last hour"),
        _number("declines_1h", 1e5, "attempts", "Declined attempts of this card, last hour"),
        _number("account_age_days", 40_000, "days", "Age of the account"),
        _number("device_age_days", 40_000, "days", "Since this device was first seen"),
        _number("credential_age_days", 40_000, "days", "Since password, mail or phone changed"),
        _number("failed_logins_24h", 1e5, "logins", "Failed logins of the account, last 24 hours"),
        _flag("address_mismatch", "The delivery address is not the billing address"),
    ),
    "network": (
        _number("bytes_out", 1e13, "bytes", "Sent by the source, this minute", required=True),
        _number("bytes_in", 1e13, "bytes", "Received by the source, this minute", required=True),
        _number("packets_out", 1e10, "packets", "Sent by the source, this minute"),
        _number("packets_in", 1e10, "packets", "Received by the source, this minute"),
        _number("duration_s", 1e6, "s", "Median duration of the flows"),
        _choice("protocol", "Protocol of most flows", PROTOCOLS),
        _number("distinct_ports", 65_536, "ports", "Ports that the source tried, this minute"),
        _number("distinct_hosts", 1e7, "hosts", "Hosts that the source tried, this minute"),
        _number("connections", 1e8, "flows", "Flows that the source opened, this minute"),
        _number("sources", 1e7, "sources", "Sources that talk to the destination, this minute"),
        _number("unanswered_share", 1, "share", "Flows without an answer"),
        _number("failed_logins", 1e6, "logins", "Failed logins from the source, this minute"),
        _flag("external", "The destination is outside the network"),
        _number("destination_age_days", 40_000, "days", "Since the destination was first seen"),
        _number("hour", 24, "hours after midnight", "Local time of the network"),
    ),
    "trading": (
        _number("orders_per_min", 1e6, "orders/min", "Orders the account sent", required=True),
        _number("cancel_share", 1, "share", "Orders cancelled before a fill", required=True),
        _number("cancel_ms", 1e8, "ms", "Median time from order to cancellation"),
        _number("order_size_ratio", 1e5, "times", "Largest order over the market's usual one"),
        _number("order_imbalance", 1, "buy - sell", "Of the volume ordered", low=-1),
        _number("fill_imbalance", 1, "buy - sell", "Of the volume traded", low=-1),
        _number("linked_share", 1, "share", "Volume traded with accounts of the same owner"),
        _number("round_trip_share", 1, "share", "Volume bought and sold back at the same price"),
        _number("counterparties", 1e6, "accounts", "Distinct counterparties"),
        _number("volume_ratio", 1e5, "times", "Volume of the instrument over its usual one"),
        _number("price_move_pct", 1e4, "%", "Price move of the instrument", low=-100),
        _number("mentions_ratio", 1e5, "times", "Public mentions over their usual number"),
        _number("held_ratio", 1e5, "times", "Position built up before, over the usual one"),
        _number("turnover", 1e12, "units of currency", "Usual daily turnover of the instrument"),
    ),
}


def names(kind: Kind) -> tuple[str, ...]:
    """The columns of `kind`, in order."""
    return tuple(feature.name for feature in FEATURES[kind])


def row_schema(kind: Kind) -> dict[str, Any]:
    """JSON schema of one row given as an object."""
    return {
        "type": "object",
        "title": kind,
        "additionalProperties": False,
        "required": [feature.name for feature in FEATURES[kind] if feature.required],
        "properties": {feature.name: feature.schema() for feature in FEATURES[kind]},
    }
