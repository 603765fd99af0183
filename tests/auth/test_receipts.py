"""Receipts: made from the ledger's rows, and verified by others."""

from dataclasses import replace

import jwt
import pytest
from pydantic import SecretStr

from auth.database import Database
from auth.ledger import LedgerWriter
from auth.pipeline import Pipeline
from auth.receipts import ReceiptSigner, receipt_of
from auth.usage import Usage
from core.work import WorkUnits
from tests.auth.worlds import ValkeyWorld, ask_of, settled

SIGNER = ReceiptSigner(SecretStr("a pepper for receipts, and only for them"))
PRICES = {"output_tokens": 1_500, "pixel_steps": 7}
DETAILS = {"model": "m", "trace_id": "trace-1", "prices": "3", "currency": "EUR"}


@pytest.fixture
def writer(store: Pipeline, database: Database, prefix: str) -> LedgerWriter:
    return LedgerWriter(store, database, prefix)


async def test_a_receipt_says_what_the_row_says_and_anybody_can_verify_it(
    valkey_world: ValkeyWorld, writer: LedgerWriter, database: Database, prefix: str
):
    trace = f"trace-{prefix}"
    ask = ask_of(details=DETAILS | {"trace_id": trace}, prices=PRICES)
    await valkey_world.admission.admit(ask)
    units = WorkUnits(input_tokens=5, output_tokens=3, pixel_steps=100)
    await valkey_world.admission.settle(replace(settled(ask), units=units))
    await writer.drain()
    row = await Usage(database).record("t1", ask.request_id)
    assert row is not None
    receipt = receipt_of(row)
    assert receipt["units"] == {"input_tokens": 5, "output_tokens": 3, "pixel_steps": 100}
    assert (receipt["money"], receipt["currency"]) == ("0.000000006", "EUR")  # 5.2 nano, rounded up
    assert (receipt["exact"], receipt["status"], receipt["trace_id"]) == (True, "settled", trace)
    key = jwt.PyJWK(SIGNER.jwk)
    signed = SIGNER.signed(receipt)
    assert jwt.decode(signed, key, algorithms=["EdDSA"]) == receipt
    other = ReceiptSigner(SecretStr("another pepper, of another installation"))
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(signed, jwt.PyJWK(other.jwk), algorithms=["EdDSA"])
    assert await Usage(database).record("t1", trace) == row, "found by its trace id too"
    assert await Usage(database).record("t2", ask.request_id) is None
    assert await Usage(database).record("t2", trace) is None


async def test_an_abandoned_request_is_on_a_receipt_that_says_it_is_an_estimate(
    valkey_world: ValkeyWorld, writer: LedgerWriter, database: Database
):
    ask = ask_of(details=DETAILS, prices=PRICES)
    await valkey_world.admission.admit(ask)
    await valkey_world.admission.renew(ask.request_id, WorkUnits(output_tokens=2))
    await valkey_world.expire(ask.request_id)
    await valkey_world.admission.sweep()
    await writer.drain()
    row = await Usage(database).record("t1", ask.request_id)
    assert row is not None
    receipt = receipt_of(row)
    assert (receipt["exact"], receipt["status"]) == (False, "abandoned")
    assert (receipt["units"], receipt["money"]) == ({"output_tokens": 2}, "0.000000003")
