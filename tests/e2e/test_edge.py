"""The edge of the gateway on a real cluster: what is refused there is seen."""

import asyncio
import secrets

from tests.e2e.test_observability import log_lines

CHAT = "/v1/chat/completions"


async def test_refusals_before_admission_have_a_line_each(cluster, pro):
    traces = {status: f"edge-{secrets.token_hex(6)}" for status in (400, 401, 404)}
    async with pro.http() as client:
        await client.post(CHAT, content=b"{", headers={"x-request-id": traces[400]})
        stranger = {"authorization": "Bearer ck-0123456789abcdef-no", "x-request-id": traces[401]}
        await client.get("/v1/models", headers=stranger)
        await client.get(f"/v1/{traces[404]}", headers={"x-request-id": traces[404]})
    for status, trace in traces.items():
        (line,) = await log_lines(cluster, trace)
        assert (line["status"], line["model"]) == (status, "")
        assert line["endpoint"] in (CHAT, "/v1/models", "none")


async def test_an_upload_that_is_cut_is_a_499(cluster, pro):
    trace = f"edge-{secrets.token_hex(6)}"
    head = (
        f"POST /v1/images/edits HTTP/1.1\r\nhost: x\r\nx-request-id: {trace}\r\n"
        f"authorization: {pro.headers['authorization']}\r\n"
        "content-type: application/json\r\ncontent-length: 3000000\r\n\r\n{"
    )
    _, writer = await asyncio.open_connection("127.0.0.1", cluster.port)
    writer.write(head.encode())
    await writer.drain()
    await asyncio.sleep(0.5)
    writer.close()
    (line,) = await log_lines(cluster, trace)
    assert (line["status"], line["endpoint"]) == (499, "/v1/images/edits")
