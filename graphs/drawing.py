"""Graphs as pictures: which models each one calls, as mermaid's text.

Place in the path: beside it; made for people. It makes each graph as its replica would, without
starting it, and looks for its steps; models are not loaded and nothing is called. It does not draw
the workflows that users write themselves.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import SettingsError
from core.imports import load_spec
from core.model import ModelCard
from core.settings import parse
from graphs.step import Step

PACKAGE = "graphs."
"""Where the specs of graphs are; those of models are elsewhere."""
DEEPEST = 5
"""Attributes of attributes that are looked into."""


@dataclass(frozen=True, slots=True)
class Link:
    """A graph calls a model.

    Args:
        role: the graph's own name for it: its attribute.
    """

    graph: str
    role: str
    model: str


def graphs_of(config: Mapping[str, Any]) -> list[str]:
    """Ids of the graphs that a configuration serves (`serve_config.yaml`, read)."""
    return [card.id for card in _cards(config) if card.spec.startswith(PACKAGE)]


def links_of(config: Mapping[str, Any], graph: str) -> list[Link]:
    """The steps of one graph.

    A graph that cannot be made here, for want of a secret, tells them by its settings.

    Raises:
        KeyError: it serves no graph of that name.
        SettingsError: its settings are wrong.
    """
    cards = {card.id: card for card in _cards(config) if card.spec.startswith(PACKAGE)}
    card = cards[graph]
    spec = load_spec(card.spec)
    settings = parse(spec.settings, _engine(config, card), f"engine of {card.spec}")
    try:
        found = [Link(graph, role, step.model) for role, step in steps_of(spec.model(settings))]
    except SettingsError:  # it wants secrets that only a cluster has
        served = {each.id for each in _cards(config)}
        found = [Link(graph, *each) for each in _named(settings.model_dump(), served)]
    return list(dict.fromkeys(found))


def _named(settings: Mapping[str, Any], served: set[str]) -> Iterator[tuple[str, str]]:
    """The settings that are ids of models, each with its name."""
    for name, value in settings.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        yield from ((name, each) for each in values if isinstance(each, str) and each in served)


def steps_of(graph: object) -> Iterator[tuple[str, Step]]:
    """The steps of a graph's object, each with the attribute under which it is reached first."""
    seen: set[int] = set()
    for role, value in vars(graph).items():
        for step in _within(value, DEEPEST):
            if id(step) not in seen:
                seen.add(id(step))
                yield role.strip("_"), step


def _within(value: object, depth: int) -> Iterator[Step]:
    if isinstance(value, Step):
        yield value
    elif depth and isinstance(value, Mapping):
        for each in value.values():
            yield from _within(each, depth - 1)
    elif depth and isinstance(value, (list, tuple)):
        for each in value:
            yield from _within(each, depth - 1)
    elif depth and type(value).__module__.startswith(PACKAGE):
        for each in _attributes(value):
            yield from _within(each, depth - 1)


def _attributes(value: object) -> Iterator[object]:
    names = [*getattr(value, "__dict__", ()), *getattr(type(value), "__slots__", ())]
    for name in names:
        yield getattr(value, name, None)


def mermaid(config: Mapping[str, Any], graphs: Sequence[str] | None = None) -> str:
    """A flow chart (https://mermaid.js.org) of some graphs, or of all that are served.

    A graph that is a step of another is drawn with its own steps. Raises as `links_of`.
    """
    served = graphs_of(config)
    waiting, links = list(served if graphs is None else graphs), []
    seen: set[str] = set()
    while waiting:
        graph = waiting.pop(0)
        if graph in seen:
            continue
        seen.add(graph)
        own = links_of(config, graph)
        links += own
        waiting += [link.model for link in own if link.model in served]
    names = dict.fromkeys([*sorted(seen, key=served.index), *(link.model for link in links)])
    nodes = {name: f"n{number}" for number, name in enumerate(names)}
    lines = [f"    {node}{_shape(config, name, served)}" for name, node in nodes.items()]
    lines += [f"    {nodes[o.graph]} -->|{o.role}| {nodes[o.model]}" for o in links]
    return "\n".join(["flowchart LR", *lines])


def _shape(config: Mapping[str, Any], name: str, served: Sequence[str]) -> str:
    """A graph in a rounded box with its operations, a model in a square one."""
    if name not in served:
        return f'["{name}"]'
    card = next(card for card in _cards(config) if card.id == name)
    operations = ", ".join(load_spec(card.spec).operations)
    return f'(["<b>{name}</b><br>{operations}"])'


def _cards(config: Mapping[str, Any]) -> list[ModelCard]:
    """Every card of the gateway."""
    (gateway,) = [a for a in config["applications"] if a["name"] == "gateway"]
    models = gateway["deployments"][0]["user_config"]["models"]
    return [ModelCard.model_validate(card) for card in models]


def _engine(config: Mapping[str, Any], card: ModelCard) -> dict[str, Any]:
    """The settings of a graph's application."""
    name = card.application_name
    (application,) = [a for a in config["applications"] if a["name"] == name]
    return dict((application.get("args") or {}).get("engine") or {})
