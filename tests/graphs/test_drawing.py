"""Every graph that is served can be drawn, with the models that its configuration gives it."""

import pytest
import yaml

from core.errors import SettingsError
from core.imports import load_spec
from core.model import Frozen, ModelSpec
from core.settings import ROOT
from graphs.drawing import Link, graphs_of, links_of, mermaid
from graphs.step import Step


@pytest.fixture(scope="module")
def config():
    return yaml.safe_load((ROOT / "serve_config.yaml").read_text())


def test_the_steps_of_sql_assist_are_those_of_its_settings(config):
    assert Link("sql", "chat", "starter-chat") in links_of(config, "sql")


def test_every_graph_calls_models_that_are_served(config):
    gateway = next(a for a in config["applications"] if a["name"] == "gateway")
    served = {card["id"] for card in gateway["deployments"][0]["user_config"]["models"]}
    assert graphs_of(config)
    for graph in graphs_of(config):
        for link in links_of(config, graph):
            assert link.model in served, link


def test_a_drawing_has_each_box_once_and_each_step_as_an_arrow(config):
    text = mermaid(config, ["sql"])
    assert text.splitlines() == [
        "flowchart LR",
        '    n0(["<b>sql</b><br>assist"])',
        '    n1["starter-chat"]',
        "    n0 -->|chat| n1",
    ]
    whole = mermaid(config)
    for graph in graphs_of(config):
        assert whole.count(f"<b>{graph}</b>") == 1


class Settings(Frozen):
    models: tuple[str, ...] = ("echo", "sql")


class Outer:
    """A graph over a model and another graph."""

    def __init__(self, settings: Settings) -> None:
        self.both = {name: Step(name) for name in settings.models}
        self.none = None


def test_a_graph_within_a_graph_is_drawn_with_its_own_steps(config, monkeypatch):
    spec = ModelSpec("outer", Outer, Settings, {})
    monkeypatch.setattr(
        "graphs.drawing.load_spec",
        lambda path: spec if path == "graphs.outer:SPEC" else load_spec(path),
    )
    cards: list[dict[str, str]] = []
    gateway = {"name": "gateway", "deployments": [{"user_config": {"models": cards}}]}
    cards += [
        {"id": "outer", "spec": "graphs.outer:SPEC"},
        {"id": "sql", "spec": "graphs.sql:SPEC"},
    ]
    sql = next(a for a in config["applications"] if a["name"] == "sql")
    text = mermaid({"applications": [gateway, sql, {"name": "outer"}]}, ["outer"])
    assert text.splitlines()[-3:] == [
        "    n0 -->|both| n2",
        "    n0 -->|both| n1",
        "    n1 -->|chat| n3",
    ]


class Secretive(Outer):
    """A graph that cannot be made without a cluster."""

    def __init__(self, settings: Settings) -> None:
        raise SettingsError("the secret is not set")


def test_a_graph_that_wants_a_secret_tells_its_models_by_its_settings(config, monkeypatch):
    spec = ModelSpec("outer", Secretive, Settings, {})
    monkeypatch.setattr("graphs.drawing.load_spec", lambda _: spec)
    cards = [{"id": name, "spec": f"graphs.{name}:SPEC"} for name in ("outer", "sql", "echo")]
    gateway = {"name": "gateway", "deployments": [{"user_config": {"models": cards}}]}
    found = links_of({"applications": [gateway, {"name": "outer"}]}, "outer")
    assert found == [Link("outer", "models", "echo"), Link("outer", "models", "sql")]


def test_a_graph_that_is_not_served_is_an_error(config):
    with pytest.raises(KeyError):
        mermaid(config, ["nothing"])
