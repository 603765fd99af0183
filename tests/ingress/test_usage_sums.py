"""Sums of the ledger on the wire: numbers, with every digit of the money."""

import json
from decimal import Decimal

import pytest

from auth.usage import UsageTotals
from ingress.responses import json_response
from ingress.usage import totals_object


def sums(money: Decimal) -> UsageTotals:
    return UsageTotals(2, 1, 0, 3, 0, 4, 0, 0, 0, 0, 0, 0, money, 0.5, None)


@pytest.mark.parametrize(
    ("money", "said"),
    [
        ("123456789012345678.123456789", "123456789012345678.123456789"),
        ("0.000000155", "0.000000155"),
        ("100.000000000", "100.0"),
        ("1" + "0" * 30 + ".000000001", "1" + "0" * 30 + ".000000001"),
        ("0", "0.0"),
    ],
)
def test_money_is_a_number_with_all_its_digits(money: str, said: str):
    body = bytes(json_response(totals_object(sums(Decimal(money)))).body)
    assert f'"money":{said},' in body.decode()
    assert json.loads(body, parse_float=Decimal)["money"] == Decimal(money)
    assert isinstance(json.loads(body)["money"], float)
