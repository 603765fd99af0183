"""What was used is what is billed, and everybody can check it: body, ledger, receipt, export."""

import csv
import io
from decimal import Decimal

import jwt

from tests.e2e.test_chat import settled

INPUT, OUTPUT = Decimal("0.05") / 10**6, Decimal("0.20") / 10**6
"""Prices of starter-chat in prices.yaml."""


async def test_the_body_the_row_the_receipt_and_the_export_agree(pro, other):
    answer = await pro.openai().chat.completions.create(
        model="starter-chat", messages=[{"role": "user", "content": "How many users are there?"}]
    )
    (row,) = await settled(pro, 1)
    used = answer.usage
    cached = used.prompt_tokens_details.cached_tokens or 0
    cost = (used.prompt_tokens - cached) * INPUT + cached * INPUT / 5
    cost += used.completion_tokens * OUTPUT
    assert row["money"] == cost.quantize(Decimal("1e-9"), rounding="ROUND_UP")
    async with pro.http() as client:
        receipt = (await client.get(f"/v1/receipts/{answer.id}")).json()
        by_trace = (await client.get(f"/v1/receipts/{answer._request_id}")).json()
        keys = (await client.get("/v1/receipts/keys")).json()["keys"]
        exported = await client.get("/v1/usage/records.csv?days=1")
        summary = (await client.get("/v1/usage/summary?days=1")).json()
        days = (await client.get("/v1/usage/daily?days=1&by=model")).json()["data"]
        windows = (await client.get("/v1/usage")).json()["windows"]
    signature = receipt.pop("signature")
    assert jwt.decode(signature, jwt.PyJWK(keys[0]), algorithms=["EdDSA"]) == receipt
    assert by_trace["request_id"] == receipt["request_id"] == row["request_id"]
    assert receipt["units"]["output_tokens"] == used.completion_tokens
    assert (Decimal(receipt["money"]), receipt["currency"]) == (row["money"], "USD")
    assert receipt["exact"] is True
    (line,) = csv.DictReader(io.StringIO(exported.text))
    assert (line["request_id"], Decimal(line["money"])) == (row["request_id"], row["money"])
    assert summary["by_key"][row["api_key_id"]]["money"] == float(row["money"])
    assert [(day["model"], day["requests"]) for day in days] == [("starter-chat", 1)]
    assert all("watched" in window for window in windows)
    async with other.http() as stranger:
        foreign = await stranger.get(f"/v1/receipts/{answer.id}")
        assert foreign.status_code == 404
        assert row["request_id"] not in foreign.text
        assert len((await stranger.get("/v1/usage/records.csv")).text.splitlines()) == 1
