"""Prices: the price book, which turns work units into money.

Place in the path: read at start; step 3 sends a model's prices along with the units it reserves,
and the store turns both into money (`auth/scripts/meters.lua`), there and at settlement, so that
windows, rows and receipts agree to the last digit. This module charges nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import Field

from core.model import Frozen
from core.settings import parse, read_yaml
from core.work import WorkUnits

PICO_PER_MILLION = 1_000_000
"""Pico units of money that one unit costs when a million cost 1."""
PICO_PER_NANO = 1_000

Price = Annotated[Decimal, Field(ge=0, max_digits=15, decimal_places=6)]
"""Of a million units."""
PARTS = {"cached_tokens": "input_tokens", "reasoning_tokens": "output_tokens"}
"""Units that are counted in others too, and priced apart."""
UnitPrices = Mapping[str, int]
"""Pico units of money for one unit, by the unit's name; no name is free of charge."""


class ModelPrices(Frozen):
    """Prices of one model, of a million units each."""

    input_tokens: Price | None = None
    cached_tokens: Price | None = None
    """Of input tokens that the engine found in its prefix cache; as other input when not said."""
    output_tokens: Price | None = None
    reasoning_tokens: Price | None = None
    """As other output when not said."""
    characters: Price | None = None
    pixel_steps: Price | None = None
    audio_ms: Price | None = None
    video_pixel_ms: Price | None = None
    rows: Price | None = None

    def in_pico(self) -> dict[str, int]:
        """What is not free."""
        prices = self.model_dump(exclude_none=True)
        for part, whole in PARTS.items():
            if whole in prices:
                prices.setdefault(part, prices[whole])
        return {name: int(price * PICO_PER_MILLION) for name, price in prices.items() if price}


class PricesFile(Frozen):
    """The whole of `prices.yaml`."""

    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,32}$")]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    default: ModelPrices = ModelPrices()
    models: dict[str, ModelPrices] = Field(default_factory=dict)


@dataclass(slots=True)
class PriceBook:
    """Prices by model, of one version. Whoever needs prices holds the one book of its process."""

    version: str = "none"
    currency: str = "USD"
    default: UnitPrices = field(default_factory=dict)
    models: Mapping[str, UnitPrices] = field(default_factory=dict)

    def of(self, model_id: str) -> UnitPrices:
        """A model's prices."""
        return self.models.get(model_id, self.default)

    def adopt(self, other: "PriceBook") -> None:
        """Say what `other` says, to everybody who holds this book."""
        self.version, self.currency = other.version, other.currency
        self.default, self.models = other.default, other.models


def read_prices(path: Path) -> PriceBook:
    """The price book in `path`. Raises SettingsError that names every field at fault."""
    document = parse(PricesFile, read_yaml(path), str(path))
    models = {name: prices.in_pico() for name, prices in document.models.items()}
    return PriceBook(document.version, document.currency, document.default.in_pico(), models)


def money_of(units: WorkUnits, prices: UnitPrices) -> int:
    """Nano units of money for `units`, rounded up. The store computes the same."""
    counts = units.nonzero()
    for part, whole in PARTS.items():
        if whole in counts:
            counts[whole] = max(0, counts[whole] - counts.get(part, 0))
    pico = sum(count * prices.get(name, 0) for name, count in counts.items())
    return -(-pico // PICO_PER_NANO)
