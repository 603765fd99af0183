"""Documents put in and taken out by every door of a real cluster: limits, deep pages, the cache."""

import pytest

from tests.e2e.test_rag import ask

pytestmark = pytest.mark.timeout(300)
PAGE = "".join(f"<h{level}>{str(level) * 200}" for level in range(1, 7)) + "<p>bells" * 3_000


async def test_a_page_of_deep_headings_and_many_paragraphs_is_kept(pro):
    async with pro.http() as client:
        file = {"file": ("deep.html", f"<html>{PAGE}".encode())}
        added = await ask(client, "POST", "documents", files=file, data={"id": "deep"})
        assert added.status_code == 201, added.text
        question = {"query": "bells", "mode": "keyword", "top_k": 1}
        (found,) = (await ask(client, "POST", "search", json=question)).json()["results"]
        assert found["heading"].startswith("1111")
        assert (await ask(client, "DELETE", "collections/default")).status_code == 200


async def test_the_general_route_is_held_to_what_the_routes_of_documents_are(pro):
    async with pro.http() as client:
        body = {"id": "tower", "text": "A ticket costs four euros."}
        nothing = await client.post("/v1/models/rag/add_document", json=body | {"tokens": 0})
        assert (nothing.status_code, nothing.json()["error"]["param"]) == (400, "tokens")
        for _ in range(2):  # a collection that was deleted is made again
            added = await ask(client, "POST", "documents", json=body)
            assert added.status_code == 201, added.text
            question = {"query": "What does a ticket cost?"}
            assert (await ask(client, "POST", "search", json=question)).json()["results"]
            few = await client.post("/v1/models/rag/add_document", json=body | {"tokens": 1})
            assert (few.status_code, few.json()["error"]["param"]) == (400, "tokens")
            gone = await client.post("/v1/models/rag/delete_documents", json={})
            assert gone.status_code == 200, gone.text
            assert (await ask(client, "POST", "search", json=question)).status_code == 404
