"""Documents end to end: files in, passages and cited answers out, gone when they are deleted."""

import json
import re
import shutil
import subprocess

import httpx
import pytest

from core.settings import ROOT
from tests.e2e.people import patiently
from tests.e2e.test_chat import settled
from tests.graphs.rag import papers

pytestmark = pytest.mark.timeout(300)
MARKDOWN = """# The bell tower

## Opening hours

The tower is open from May to October, from nine to five.

## Tickets

A ticket costs four euros; children climb for free.
"""
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
RETRY = "curl --fail-with-body --silent --show-error --retry 5 --retry-all-errors"


async def ask(client: httpx.AsyncClient, method: str, path: str, **options) -> httpx.Response:
    return await patiently(client, method, f"/v1/rag/{path}", **options)


async def test_documents_are_added_found_cited_and_forgotten(pro, other):
    async with pro.http() as client:
        added = await ask(client, "POST", "documents", json={"id": "tower", "text": MARKDOWN})
        assert added.status_code == 201, added.text
        pages = papers.pdf(["The bells were cast in 1750.", "The largest bell weighs nine tons."])
        for name, data in (("bells.pdf", pages), ("tower.docx", papers.docx())):
            form = {"id": name, "title": name, "metadata": '{"kind": "file"}'}
            added = await ask(client, "POST", "documents", files={"file": (name, data)}, data=form)
            assert added.status_code == 201, added.text
        listed = (await ask(client, "GET", "documents")).json()["data"]
        assert [each["id"] for each in listed] == ["bells.pdf", "tower", "tower.docx"]
        assert [each["kind"] for each in listed] == ["pdf", "markdown", "docx"]

        question = {"query": "How heavy is the biggest bell?", "top_k": 3}
        found = (await ask(client, "POST", "search", json=question)).json()["results"]
        assert (found[0]["document"], found[0]["metadata"]) == ("bells.pdf", {"kind": "file"})
        whole = (await ask(client, "GET", "documents/bells.pdf")).json()["text"]
        assert whole[found[0]["start"] : found[0]["end"]] == found[0]["text"]
        files = {"filter": {"type": "eq", "key": "kind", "value": "file"}}
        found = (await ask(client, "POST", "search", json=question | files)).json()["results"]
        assert "tower" not in {each["document"] for each in found}

        told = await ask(client, "POST", "generate", json=question | {"max_tokens": 8})
        assert told.json()["citations"][0]["document"] == "bells.pdf"
        assert told.json()["usage"]["completion_tokens"] <= 8
        again = await ask(client, "POST", "generate", json=question | {"max_tokens": 8})
        assert again.headers["x-cache"] == "HIT"
    async with pro.openai(max_retries=8) as sdk:
        stream = await sdk.chat.completions.create(
            model="rag",
            messages=[{"role": "user", "content": "When is the tower open?"}],
            max_tokens=8,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    *_, last, usage = chunks
    assert last.choices[0].finish_reason
    assert {each["document"] for each in last.citations} >= {"tower"}
    assert usage.usage.total_tokens > 0

    async with other.http() as client:
        assert (await ask(client, "GET", "documents/tower")).status_code == 404
        assert (await ask(client, "POST", "search", json=question)).status_code == 404
    async with pro.http() as client:
        for path in ("documents/bells.pdf", "collections/default"):
            assert (await ask(client, "DELETE", path)).status_code == 200
        gone = await ask(client, "POST", "search", json=question)
        assert gone.status_code == 404
    rows = await settled(pro, 12)
    embedded = [row["input_tokens"] for row in rows if row["operation"] == "add_document"]
    assert len(embedded) == 3
    assert all(embedded)
    read = [row for row in rows if row["operation"] == "read_document"]
    assert [(row["total_tokens"], row["status_code"]) for row in read] == [(0, 200)] * 2


async def passages(client, mode):
    """What a search finds now, whatever was answered before: documents and their places."""
    question = {"query": "How heavy is the largest bell?", "mode": mode}
    fresh = {"cache-control": "no-cache"}
    answer = await ask(client, "POST", "search", json=question, headers=fresh)
    assert answer.status_code == 200, answer.text
    return sorted((each["document"], each["start"]) for each in answer.json()["results"])


@pytest.mark.parametrize("mode", ["vector", "keyword", "hybrid"])
async def test_the_same_document_of_two_tenants_is_each_ones_own(pro, other, mode):
    data = papers.pdf(["The bells were cast in 1750.", "The largest bell weighs nine tons."])
    question = {"query": "How heavy is the largest bell?", "mode": mode, "max_tokens": 8}
    async with pro.http() as mine, other.http() as theirs:

        async def add(client):
            form = {"data": {"id": "bells"}, "files": {"file": ("bells.pdf", data)}}
            added = await ask(client, "POST", "documents", **form)
            assert added.status_code == 201, added.text

        await add(mine)
        alone = await passages(mine, mode)
        assert {document for document, _ in alone} == {"bells"}
        assert len(set(alone)) == len(alone), "a passage is found once"
        await add(theirs)
        assert [await passages(client, mode) for client in (mine, theirs)] == [alone, alone]
        told = [
            await ask(client, "POST", "generate", json=question)
            for client in (mine, mine, theirs, theirs)
        ]
        assert [each.headers["x-cache"] for each in told] == ["MISS", "HIT", "MISS", "HIT"]
        assert (await ask(mine, "DELETE", "documents/bells")).status_code == 200
        assert await passages(mine, mode) == []
        assert await passages(theirs, mode) == alone
        assert (await ask(theirs, "POST", "generate", json=question)).headers["x-cache"] == "HIT"
        assert (await ask(theirs, "GET", "documents/bells")).status_code == 200
        assert (await ask(mine, "GET", "documents/bells")).status_code == 404


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.pdf", papers.encrypted_pdf(["secret"], "password"), "encrypted"),
        ("a.docx", papers.bomb(), "unpacks"),
        ("a.txt", b"\x00\x01\x02", "send PDF"),
    ],
)
async def test_a_file_that_cannot_be_read_leaves_nothing(pro, name, data, told):
    async with pro.http() as client:
        refused = await ask(client, "POST", "documents", files={"file": (name, data)})
        assert refused.status_code in (400, 415), refused.text
        assert told in refused.json()["error"]["message"]
        assert (await ask(client, "GET", "documents")).json()["data"] == []
        assert (await ask(client, "GET", "collections")).json()["data"] == []


def commands() -> list[str]:
    blocks = BLOCK.findall((ROOT / "docs" / "rag.md").read_text())
    return [command for block in blocks if "curl" in block for command in block.split("\n\n")]


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl on this machine")
def test_the_commands_of_the_page_answer(cluster):
    assert len(commands()) == 3
    for command in commands():
        ours = command.replace("http://127.0.0.1:8000", cluster.base_url)
        ours = ours.replace(".carillon/api-key", str(cluster.state / "api-key"))
        done = subprocess.run(
            ["bash", "-c", ours.replace("curl ", f"{RETRY} ", 1)],
            cwd=ROOT,
            capture_output=True,
            timeout=250,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        answer = json.loads(done.stdout)
        assert answer.get("results") or answer["passages"]
