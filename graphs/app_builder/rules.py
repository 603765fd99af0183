"""A description read by rules: what is kept, what is told of it, what people do with it.

Place in the path: inside the app builder, as planner `rules`, and for a chat model whose plan
cannot be used. It says in notes what it assumed. How sentences are read is `reading`'s.
"""

import re
from dataclasses import dataclass

from graphs.app_builder.naming import is_plural, pascal, plural_name, singular_name, snake, words_of
from graphs.app_builder.plan import (
    ACTIONS,
    MAX_ENTITIES,
    MAX_FIELDS,
    TAKEN_NAMES,
    Action,
    Entity,
    Plan,
    PlanField,
    View,
    ViewKind,
)
from graphs.app_builder.reading import (
    DECLARES,
    Things,
    is_field,
    is_wish,
    plain,
    read_things,
    sentences,
    words_of_subject,
)
from graphs.app_builder.sentences import Item, field_of, items_of
from graphs.app_builder.words import ACTION_WORDS, COMPONENT_WORDS, FIELDS

HAS = re.compile(r"^(?P<subject>.+?)\s(?:with|having|containing|including)\s(?P<list>.+)$")
"""Of a component: `displays a table of orders with total` is about orders."""
TARGET = re.compile(
    r"\b(?:of|for|to (?:add|create|edit|enter|register|submit|book|show|manage))\s+"
    r"(?P<thing>[\w' -]+)$"
)
CALLED = re.compile(
    r"\b(?:called|named)\s+[\"'“]?(?P<name>[a-z0-9][a-z0-9 -]{0,40}?)[\"'”]?"
    r"(?:$|[,.]|\s(?:with|that|for))"
)
STATISTICS = re.compile(r"\b(dashboard|charts?|statistics|stats|overview|reports?|analytics)\b")
READ_ONLY = re.compile(r"\b(read.only|view.only|display.only)\b")
CARDS = re.compile(r"\b(cards?|gallery|feed|list view)\b")
STRONG_KINDS = {"table", "grid", "datagrid", "list", "form", "dashboard", "chart", "gallery"}
CHANGING: tuple[Action, ...] = ("create", "edit", "delete")


@dataclass(frozen=True, slots=True)
class Reading:
    """A plan, and what had to be assumed for it."""

    plan: Plan
    notes: tuple[str, ...] = ()


def read_app(description: str, name: str | None = None) -> Reading:
    """The plan of a whole app."""
    text = plain(description)
    things, subject = read_things(text)
    entities = _entities(things)
    actions = _actions(text, READ_ONLY.search(text) is None)
    plan = Plan(
        title=_title(name, text, subject, entities[0]),
        entities=entities,
        views=_views(text, entities, actions),
        actions=actions,
    )
    return Reading(plan, tuple(things.notes))


def read_component(description: str) -> Reading:
    """The plan of one component: one entity, shown in one way."""
    text = plain(description)
    first, *more = sentences(text) or [text]
    match = HAS.match(first) or DECLARES.match(first)
    subject = re.split(r"\bwhere\b", match["subject"] if match else first)[0]
    notes: list[str] = []
    kind = _kind(subject, text, notes)
    items = items_of(match["list"]) if match else []
    for sentence in more:
        if (found := DECLARES.match(sentence)) is not None and not is_wish(found["subject"]):
            items += items_of(found["list"])
    things = Things(notes=notes)
    things.add(_component_entity(subject) or "record", [item for item in items if is_field(item)])
    if not things.items:
        things.items["record"] = items
    (entity, *_) = _entities(things)
    usual: tuple[Action, ...] = ("search", "sort") if kind in ("table", "list") else ()
    actions = _actions(text, by_default=False) or usual
    plan = Plan(
        title=entity.plural_label if kind in ("table", "list", "dashboard") else entity.label,
        entities=(entity,),
        views=(View(kind=kind, entity=entity.name),),
        actions=actions,
    )
    return Reading(plan, tuple(things.notes))


def _entities(things: Things) -> tuple[Entity, ...]:
    by_plural = {plural_name(name): name for name in reversed(things.items)}
    known = [name for name in things.items if name in by_plural.values()]
    names = known[:MAX_ENTITIES]
    for name in known[MAX_ENTITIES:]:
        things.notes.append(f"at most {MAX_ENTITIES} kinds of things: '{name}' was left out")
    fields = {name: _fields(name, names, things) for name in names}
    for one, other in things.belongs:
        if one in fields and other in names and one != other:
            _reference(fields[one], other)
    return tuple(_entity(name, list(fields[name].values())[:MAX_FIELDS]) for name in names)


def _fields(name: str, names: list[str], things: Things) -> dict[str, PlanField]:
    """The fields told of a thing, or the usual ones. Names of other things become references."""
    found: dict[str, PlanField] = {}
    for item in things.items[name]:
        other = singular_name(item.name)
        if other in names and other != name:
            is_many = is_plural(item.name.rpartition("_")[2])
            pair = (other, name) if is_many else (name, other)
            things.belongs.append(pair)
        elif item.name and item.name not in TAKEN_NAMES:
            found.setdefault(item.name, field_of(item))
    if not found:
        usual = (
            FIELDS.get(name) or FIELDS.get(name.rsplit("_", maxsplit=1)[-1]) or "name,description"
        )
        found = {snake(word): field_of(Item(word)) for word in usual.split(",")}
        told = words_of(plural_name(name)).lower()
        things.notes.append(f"no fields were named for {told}: the usual ones were taken")
    first = next(iter(found))
    if found[first].type in ("text", "email", "reference"):
        found[first] = found[first].model_copy(update={"required": True})
    return found


def _reference(fields: dict[str, PlanField], other: str) -> None:
    fields[other] = PlanField(name=other, label=words_of(other), type="reference", references=other)


def _entity(name: str, fields: list[PlanField]) -> Entity:
    return Entity(
        name=name,
        plural=plural_name(name),
        label=words_of(name),
        plural_label=words_of(plural_name(name)),
        fields=tuple(fields),
    )


def _actions(text: str, by_default: bool) -> tuple[Action, ...]:  # noqa: FBT001  # private
    words = set(re.findall(r"[a-z-]+", text))
    said = {action for action in ACTIONS if words & set(ACTION_WORDS[action].split())}
    if READ_ONLY.search(text):
        said -= set(CHANGING)
    if by_default:
        said |= {*CHANGING, "search", "sort"}
    return tuple(action for action in ACTIONS if action in said)


def _views(
    text: str, entities: tuple[Entity, ...], actions: tuple[Action, ...]
) -> tuple[View, ...]:
    collection: ViewKind = "list" if CARDS.search(text) else "table"
    views: list[View] = []
    if STATISTICS.search(text):
        views.append(View(kind="dashboard", entity=entities[0].name))
    for entity in entities:
        views.append(View(kind=collection, entity=entity.name))
        if "create" in actions or "edit" in actions:
            views.append(View(kind="form", entity=entity.name))
    return tuple(views)


def _title(name: str | None, text: str, subject: str, entity: Entity) -> str:
    if name is not None:
        return name
    called = CALLED.search(text)
    if called is not None:
        return called["name"].strip().title()
    words = [word for word in subject.split() if re.fullmatch(r"[a-z0-9-]+", word)][-4:]
    if not set(words) - {"app", "application"}:
        return f"{entity.plural_label} app"
    return " ".join(words).capitalize()[:60]


def _kind(subject: str, text: str, notes: list[str]) -> ViewKind:
    """What a component is: the words of its subject decide, the sure ones first."""
    for where in (subject, text):
        words = re.findall(r"[a-z]+", where)
        for sure in (True, False):
            for word in words:
                if word in COMPONENT_WORDS and (word in STRONG_KINDS or not sure):
                    kind: ViewKind = COMPONENT_WORDS[word]  # type: ignore[assignment]
                    return kind
    notes.append("the description names no kind of component: a table was taken")
    return "table"


def _component_entity(subject: str) -> str:
    """What a component shows: `orders` of "a table of orders", `login` of "a login form"."""
    target = TARGET.search(subject)
    words = words_of_subject(target["thing"] if target else subject)
    if target is None:
        named = [word for word in words if word not in COMPONENT_WORDS or word in FIELDS]
        words = [word for word in named if word not in ("component", "react", "vue", "ui")]
    words = [word for word in words if word not in ("component", "react", "vue")]
    return singular_name(snake(" ".join(words[-2:]).replace("-", " ")))


def component_name(plan: Plan) -> str:
    """What a component is called when nobody says: `TaskTable`."""
    return pascal(plan.entities[0].name) + plan.views[0].kind.capitalize()
