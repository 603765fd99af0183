"""The commands of docs/workflows.md, run in their order as they stand, against a gateway here."""

import asyncio
import re
import shlex
import string
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from auth.database import Database
from core.conditions import condition_of
from core.settings import ROOT
from core.workflow import WorkflowStep
from ingress.catalog import Catalog
from tests.docs.sources import table_rows
from tests.ingress.whole_gateway import cards
from tests.ingress.workflow_world import WorkflowWorld, ended

BASE = "http://test"
PAGE = (ROOT / "docs" / "workflows.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def commands() -> list[str]:
    text = "\n".join(blocks("sh")).replace("\\\n", " ")
    return [line for line in text.splitlines() if line.startswith("curl ")]


@pytest.fixture
async def world(database_url, tmp_path):
    database = Database(SecretStr(database_url))
    world = WorkflowWorld(database, tmp_path / "media", Catalog(cards()))
    yield world
    await world.close()


def understood(command: str, known: dict[str, str]) -> dict[str, Any]:
    """What `curl` would send."""
    words = shlex.split(string.Template(command).substitute(known))[1:]
    request: dict[str, Any] = {"headers": {}, "method": "GET"}
    while words:
        word = words.pop(0)
        if word == "-H":
            name, _, text = words.pop(0).partition(": ")
            request["headers"][name.lower()] = text
        elif word in ("-d", "--data-binary"):
            text = words.pop(0)
            request |= {"method": "POST", "content": known["FILE"] if text[0] == "@" else text}
        else:
            request["url"] = word.removeprefix(BASE)
    return request


async def test_the_commands_of_the_page_work_in_their_order(world):
    key = await world.tenant()
    known = {"BASE": BASE, "KEY": key, "RUN": "", "FILE": blocks("yaml")[0]}
    answers = []
    async with world.http(key) as client:
        for command in commands():
            response = await client.request(**understood(command, known))
            assert response.status_code == 200, (command, response.text)
            if response.headers["content-type"] == "application/json":
                answers.append(response.json())
            if answers[-1].get("object") == "workflow.run":
                run = await ended(client, answers[-1])
                assert run["status"] == "completed", run
                known["RUN"] = run["id"]
    assert len(answers) == 5
    assert answers[0]["order"] == ["draw", "describe", "tell"]
    pictures = answers[2]["outputs"]["pictures"]
    assert pictures[0]["data"][0]["b64_json"]["url"]
    assert answers[2]["outputs"]["sound"]["media_type"] == "audio/wav"
    assert [run["name"] for run in answers[4]["data"]] == ["postcards", "postcards"]


async def test_the_python_of_the_page_works(world, monkeypatch, tmp_path, capsys):
    """As it stands, but for the client, which reaches this process."""
    (code,) = blocks("python")
    key = await world.tenant()
    loop = asyncio.get_running_loop()

    class Client:
        def __init__(self, **options):
            assert options["base_url"].endswith("/v1/workflows")
            assert options["headers"] == {"authorization": f"Bearer {key}"}

        def ask(self, method, path, **options):
            async def asked():
                async with world.http(key) as client:
                    return await client.request(method, f"/v1/workflows{path}", **options)

            return asyncio.run_coroutine_threadsafe(asked(), loop).result(30)

        def get(self, path):
            return self.ask("GET", path)

        def post(self, path, json):
            return self.ask("POST", path, json=json)

    (tmp_path / ".carillon").mkdir()
    (tmp_path / ".carillon" / "api-key").write_text(key)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("httpx.Client", Client)
    await asyncio.to_thread(exec, code, {})
    assert capsys.readouterr().out == "the end: three!\n"


def test_every_field_of_a_step_is_explained():
    fields = {field.alias or name for name, field in WorkflowStep.model_fields.items()}
    section = PAGE.partition("\n## Steps\n")[2].partition("\n## ")[0]
    assert {row[0].strip("`") for row in table_rows(section, 3)[1:]} == fields


def test_the_examples_are_good_ones():
    assert yaml.safe_load(blocks("yaml")[0])["name"] == "postcards"
    (condition,) = blocks("text")
    assert condition_of(condition.strip()).references
