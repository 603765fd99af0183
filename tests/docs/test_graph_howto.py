"""The README's how-to for authors of graphs, followed to the letter, over two models by handle."""

import re
import shlex
import sys
from types import SimpleNamespace
from typing import Any

import httpx
import orjson
import pytest
import yaml
from ray import serve

import graphs
from cli.config import check
from core.imports import load_object, load_spec
from core.model import ModelCard, Reply
from core.settings import ROOT
from core.work import WorkUnits
from graphs.drawing import mermaid
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.openai import OpenAI
from tests.docs.test_howto import BLOCK, HandleDispatcher
from tests.fakes.dispatch import KEY
from tests.ingress.test_path import World


@pytest.fixture(scope="module")
def blocks() -> list[tuple[str, str]]:
    text = (ROOT / "README.md").read_text().partition("## How to compose models")[2]
    return BLOCK.findall(re.split(r"\n## ", text, maxsplit=1)[0])


@pytest.fixture
def chorus(blocks, tmp_path, monkeypatch):
    """`graphs.chorus`, from the README, importable for the length of a test."""
    (source,) = [text for language, text in blocks if language == "python"]
    assert source.splitlines()[0] == "# graphs/chorus.py"
    (tmp_path / "chorus.py").write_text(source)
    monkeypatch.setattr(graphs, "__path__", [*graphs.__path__, str(tmp_path)])
    yield
    sys.modules.pop("graphs.chorus", None)


@pytest.fixture(scope="module")
def entries(blocks) -> list[dict[str, Any]]:
    """An application, and its card."""
    return [yaml.safe_load(text)[0] for language, text in blocks if language == "yaml"]


@pytest.fixture(scope="module")
def promised(blocks) -> dict[str, Any]:
    (text,) = [text for language, text in blocks if language == "json"]
    document: dict[str, Any] = orjson.loads(text)
    return document


class Voice:
    """A chat model behind a handle that says what the README promises."""

    def __init__(self, says: str) -> None:
        self.answer = self.stream = SimpleNamespace(remote=self._answer)
        self._says = says

    def options(self, **_: Any) -> "Voice":
        return self

    async def _answer(self, operation: str, request: Any, context: Any) -> Reply:
        assert (operation, request.output_limit) == ("chat", 100)
        choice = {"message": {"role": "assistant", "content": self._says}}
        return Reply(
            orjson.dumps({"choices": [choice]}), WorkUnits(input_tokens=6, output_tokens=4)
        )


async def test_the_readmes_graph_answers_over_http_and_is_billed_for_all_steps(
    chorus, entries, blocks, promised, monkeypatch
):
    application, card = entries
    args = load_object("graphs.chorus:ModelArgs")(**application["args"])
    handle = serve.run(load_object(application["import_path"])(args), _local_testing_mode=True)
    voices = {name: Voice(text) for name, text in promised["answers"].items()}
    monkeypatch.setattr(serve, "get_app_handle", voices.__getitem__)
    world = World()
    world.path._dispatcher = HandleDispatcher(handle)
    catalog = Catalog([ModelCard.model_validate(card)])
    gateway = Application(OpenAI(world.path, catalog).endpoints(), "test")
    (curl,) = [text for language, text in blocks if language == "sh"]
    words = shlex.split(curl.replace("\\\n", " "))
    url, body = words[1], words[words.index("-d") + 1]
    transport = httpx.ASGITransport(gateway, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport) as client:
        response = await client.post(url, content=body, headers={"authorization": f"Bearer {KEY}"})
    assert response.json() == promised
    assert [s.units for s in world.settlements()] == [WorkUnits(input_tokens=12, output_tokens=8)]


def test_its_configuration_passes_the_strict_check_and_is_drawn(chorus, entries):
    application, card = entries
    document = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    gateway = next(a for a in document["applications"] if a["name"] == "gateway")
    gateway["deployments"][0]["user_config"]["models"].append(card)
    document["applications"].append(application)
    checked = check(document, "the README's graph")
    assert checked.deployments["chorus"] == ("Chorus",)
    assert checked.warnings == ()
    assert "|voices|" in mermaid(document, ["chorus"])


def test_its_estimate_bounds_what_it_does(chorus, entries):
    operation = load_spec("graphs.chorus:SPEC").operations["sing"]
    request = operation.request.model_validate({"question": "How many users are there?"})
    bound = operation.estimate(request, ModelCard.model_validate(entries[1]))
    assert bound.output_tokens >= 2 * 100
