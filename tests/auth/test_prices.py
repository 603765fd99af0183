"""The price book."""

from pathlib import Path

import pytest
import yaml

from auth.prices import money_of, read_prices
from core.errors import SettingsError
from core.settings import ROOT
from core.work import WorkUnits

SHIPPED = read_prices(ROOT / "prices.yaml")


def written(folder: Path, document: object) -> Path:
    path = folder / "prices.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_prices_are_of_a_million_units(tmp_path: Path):
    models = {"m": {"input_tokens": 2.5, "output_tokens": 10}}
    book = read_prices(written(tmp_path, {"version": "1", "currency": "EUR", "models": models}))
    units = WorkUnits(input_tokens=1_000_000, output_tokens=100_000)
    assert money_of(units, book.of("m")) == 3_500_000_000
    assert money_of(units, book.of("another")) == 0


def test_cached_and_reasoning_tokens_cost_what_the_others_do_unless_priced(tmp_path: Path):
    models = {"m": {"input_tokens": 1, "cached_tokens": 0, "output_tokens": 2}}
    book = read_prices(written(tmp_path, {"version": "1", "currency": "EUR", "models": models}))
    read = WorkUnits(input_tokens=10, cached_tokens=10)
    thought = WorkUnits(output_tokens=10, reasoning_tokens=10)
    assert money_of(read, book.of("m")) == 0
    assert money_of(thought, book.of("m")) == 20_000


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"version": "1", "currency": "EUR", "models": {"m": {"tokens": 1}}}, "tokens"),
        ({"version": "1", "currency": "EUR", "models": {"m": {"rows": -1}}}, "rows"),
        ({"version": "1", "currency": "EUR", "models": {"m": {"rows": 0.0000001}}}, "rows"),
        ({"version": "1", "currency": "euro"}, "currency"),
        ({"currency": "EUR"}, "version"),
    ],
)
def test_a_wrong_price_book_is_refused_and_the_field_named(
    tmp_path: Path, document: object, named: str
):
    with pytest.raises(SettingsError, match=named):
        read_prices(written(tmp_path, document))


def test_the_shipped_book_prices_every_starter_model_in_its_own_units():
    deployed = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    gateway = next(a for a in deployed["applications"] if a["name"] == "gateway")
    models = {card["id"] for card in gateway["deployments"][0]["user_config"]["models"]}
    assert models - {"echo"} <= set(SHIPPED.models) | {"starter-video"}
    second = WorkUnits(audio_ms=1_000)
    assert money_of(second, SHIPPED.of("starter-transcribe")) == 100_000
