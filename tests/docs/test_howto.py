"""The README's how-to, followed to the letter: its file, its application, its card, its call."""

import re
import shlex
import sys
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import orjson
import pytest
import yaml
from ray import serve

import deployments
from cli.config import check
from core.model import CallContext, Chunk, ModelCard, Reply
from core.settings import ROOT
from graphs.model import ModelArgs, build
from ingress.application import Application
from ingress.call import Call
from ingress.catalog import Catalog
from ingress.openai import OpenAI
from tests.fakes.dispatch import KEY, NothingUnheard
from tests.ingress.test_path import World

BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def blocks() -> list[tuple[str, str]]:
    """Language and text of each code block of the section."""
    text = (ROOT / "README.md").read_text().partition("## How to add a model")[2]
    return BLOCK.findall(text.partition("\n## ")[0])


@pytest.fixture
def greeter(blocks, tmp_path, monkeypatch):
    """`deployments.greeter`, from the README, importable for the length of a test."""
    (source,) = [text for language, text in blocks if language == "python"]
    name = source.splitlines()[0].removeprefix("# ")
    assert name == "deployments/greeter.py"
    (tmp_path / "greeter.py").write_text(source)
    monkeypatch.setattr(deployments, "__path__", [*deployments.__path__, str(tmp_path)])
    yield
    sys.modules.pop("deployments.greeter", None)


@pytest.fixture(scope="module")
def entries(blocks) -> list[dict[str, Any]]:
    """What the YAML blocks add: an application, and its card."""
    return [yaml.safe_load(text)[0] for language, text in blocks if language == "yaml"]


@pytest.fixture(scope="module")
def application(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return entries[0]


@pytest.fixture(scope="module")
def card(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return entries[1]


class HandleDispatcher(NothingUnheard):
    """Step 4 over a handle that runs in this process."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle

    async def answer(self, call: Call, context: CallContext) -> Reply:
        reply: Reply = await self.handle.answer.remote(call.operation_name, call.request, context)
        return reply

    def stream(self, call: Call, context: CallContext) -> AsyncGenerator[Chunk, None]:
        raise NotImplementedError("the README's model does not stream")


async def test_the_readmes_model_answers_over_http(greeter, application, card, blocks):
    handle = serve.run(build(ModelArgs(**application["args"])), _local_testing_mode=True)
    world = World()
    world.path._dispatcher = HandleDispatcher(handle)
    catalog = Catalog([ModelCard.model_validate(card)])
    gateway = Application(OpenAI(world.path, catalog).endpoints(), "test")
    (curl,) = [text for language, text in blocks if language == "sh" and "curl" in text]
    words = shlex.split(curl.replace("\\\n", " "))
    url, body = words[1], words[words.index("-d") + 1]
    transport = httpx.ASGITransport(gateway, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport) as client:
        response = await client.post(url, content=body, headers={"authorization": f"Bearer {KEY}"})
        again = await client.post(url, content=body, headers={"authorization": f"Bearer {KEY}"})
    (promised,) = [text for language, text in blocks if language == "json"]
    assert response.json() == orjson.loads(promised)
    assert (response.headers["x-cache"], again.headers["x-cache"]) == ("MISS", "HIT")
    assert [s.units.characters for s in world.settlements()] == [len(response.json()["text"])]


def test_the_readmes_configuration_passes_the_strict_check(greeter, application, card):
    document = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    before = {a["name"] for a in document["applications"]}
    gateway = next(a for a in document["applications"] if a["name"] == "gateway")
    gateway["deployments"][0]["user_config"]["models"].append(card)
    document["applications"].append(application)
    checked = check(document, "the README's example")
    assert set(checked.application_names) == {*before, "greeter"}
    assert checked.warnings == ()
    assert checked.deployments["greeter"] == ("Greeter",)


def test_nothing_that_runs_is_restarted_as_the_readme_says(greeter, application, card):
    import copy

    from cli.plan import Effect, plan

    running = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    desired = copy.deepcopy(running)
    gateway = next(a for a in desired["applications"] if a["name"] == "gateway")
    gateway["deployments"][0]["user_config"]["models"].append(card)
    desired["applications"].append(application)
    effects = {(c.application, c.effect) for c in plan(running, desired)}
    reconfigured = {("gateway", Effect.RECONFIGURED), ("jobs", Effect.RECONFIGURED)}
    assert effects == {*reconfigured, ("greeter", Effect.ADDED)}
