"""A description read by rules: what is kept, what is told of it, what people do with it.

Place in the path: inside the app builder, as planner `rules`, and for a chat model whose plan
cannot be used. It reads plain English enumerations ("Tasks have a title and a due date") and says
in notes what it assumed; it understands nothing else.
"""

import re
from dataclasses import dataclass, field

from graphs.app_builder.naming import (
    is_plural,
    pascal,
    plural_name,
    singular,
    singular_name,
    snake,
    words_of,
)
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
from graphs.app_builder.sentences import WORD_TYPES, Item, field_of, items_of
from graphs.app_builder.words import (
    ACTION_WORDS,
    APP_WORDS,
    CHOICES,
    COMPONENT_WORDS,
    DOMAINS,
    FEATURES,
    FIELDS,
    FILLERS,
    NO_THINGS,
)

SENTENCE = re.compile(r"(?<!\d)[.!?;]\s+|[.!?;]$|\n+")
CLAUSE = re.compile(r"\b(\w+),? (?:that|which|who) (has|have|contains?|includes?)\b")
KEEPS = re.compile(
    r"\b(?:stor\w+|track\w*|manag\w+|keep\w*|record\w*|organi[sz]\w+)"
    r" (?:an? list of |my |the |our )?(\w+s) (with|having)\b"
)
EACH = re.compile(r",?\s+(?:where|and)?\s*(?:each|every)\b")
DECLARES = re.compile(
    r"^(?P<subject>.{1,80}?)\s*(?:\b(?:has|have|having|with|contains?|containing|includes?"
    r"|including|consists? of|stores?|storing|records?|shows?|showing|displays?|displaying|needs?)"
    r"\b|:)\s*(?P<list>.+)$"
)
BELONGS = re.compile(r"(?P<one>\w+) belongs? to (?:an?|one|the)?\s*(?P<other>\w+)")
MENTIONS = re.compile(
    r"\b(?:manag\w+|track\w*|keep track of|organi[sz]\w+|stor\w+|record\w*|log|collect|browse|sell"
    r"|list|add|create|of|for)\s+(?P<list>.+)$"
)
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
PLAIN_FIELDS = {"name", "title", *CHOICES, *WORD_TYPES}


@dataclass(frozen=True, slots=True)
class Reading:
    """A plan, and what had to be assumed for it."""

    plan: Plan
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Things:
    """What has been read so far: things by name, in order, and the items told of each."""

    items: dict[str, list[Item]] = field(default_factory=dict)
    belongs: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, items: list[Item] | None = None) -> None:
        name = singular_name(name)
        if (
            name
            and name not in TAKEN_NAMES
            and not (set(name.split("_")) & NO_THINGS and not items)
        ):
            self.items.setdefault(name, []).extend(items or [])


def read_app(description: str, name: str | None = None) -> Reading:
    """The plan of a whole app."""
    text = KEEPS.sub(r". \1 \2", description.lower())
    things = _Things()
    subjects = [_read_sentence(sentence, things) for sentence in _sentences(text)]
    subject = next((each for each in subjects if each), "")
    if not things.items:
        _find_mentions(text, subject, things)
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
    text = description.lower()
    sentence = next(iter(_sentences(text)), text)
    match = DECLARES.match(sentence)
    subject = match["subject"] if match else sentence
    notes: list[str] = []
    kind = _kind(subject, text, notes)
    items = items_of(match["list"]) if match else []
    for more in list(_sentences(text))[1:]:
        if (found := DECLARES.match(more)) is not None and not _is_wish(found["subject"]):
            items += items_of(found["list"])
    things = _Things(notes=notes)
    things.add(_component_entity(subject) or "record", [item for item in items if _is_field(item)])
    if not things.items:
        things.items["record"] = items
    (entity, *_) = _entities(things)
    changing = kind in ("form", "detail")
    actions = _actions(text, by_default=False) or (("create",) if changing else ("search", "sort"))
    plan = Plan(
        title=entity.plural_label if kind in ("table", "list", "dashboard") else entity.label,
        entities=(entity,),
        views=(View(kind=kind, entity=entity.name),),
        actions=actions,
    )
    return Reading(plan, tuple(things.notes))


def _sentences(text: str) -> list[str]:
    text = CLAUSE.sub(r"\1. \1 \2", text)
    text = EACH.sub(". each", text)
    parts = (part.strip(" \t-*•") for part in SENTENCE.split(text))
    return [part for part in parts if part]


def _read_sentence(sentence: str, things: _Things) -> str:
    """Note what a sentence declares. The app's own name for itself, if it is about the app."""
    match = DECLARES.match(sentence)
    for belongs in BELONGS.finditer(sentence):
        words = _words(match["subject"] if match else belongs["one"])
        if words:
            things.add(words[-1])
            things.belongs.append((singular_name(words[-1]), singular_name(belongs["other"])))
    if match is None or _is_wish(match["subject"]):
        return _app_name(sentence) if match is None else ""
    words = _words(match["subject"])
    items = items_of(match["list"])
    if not words or not items:
        return ""
    if words[-1] in APP_WORDS and singular(words[-1]) not in FIELDS:
        _read_contents(words, items, things)
        return " ".join(words)
    things.add(snake(" ".join(words[-2:])), [item for item in items if _is_field(item)])
    return ""


def _read_contents(words: list[str], items: list[Item], things: _Things) -> None:
    """What an app is said to have: the things that it keeps, or the fields of the one thing."""
    wanted = [item for item in items if not set(item.name.split("_")) <= FEATURES]
    if any(item.name.split("_")[-1] in PLAIN_FIELDS and not _is_thing(item) for item in wanted):
        things.add(_noun(words), [item for item in wanted if _is_field(item)])
    else:
        for item in wanted:
            if _is_thing(item):
                things.add(item.name)


def _is_wish(subject: str) -> bool:
    """Whether a sentence says what people may do, not what a thing has."""
    return bool(re.search(r"\b(can|should|must|may|want|able|it|there|make|i|we)\b", subject))


def _is_field(item: Item) -> bool:
    words = set(item.name.split("_"))
    return not item.is_long and item.name != "id" and not words <= FEATURES


def _is_thing(item: Item) -> bool:
    last = item.name.split("_")[-1]
    return is_plural(last) or (singular(last) in FIELDS and last not in CHOICES)


def _words(phrase: str) -> list[str]:
    """The words of a subject, from its end back to where it begins."""
    found = re.findall(r"[a-z0-9-]+", re.sub(r"\s+(that|which|who|to|for)$", "", phrase))
    kept = [word for word in found if word not in FILLERS]
    for index in range(len(kept) - 1, -1, -1):
        if kept[index] in ("create", "build", "make", "want", "need", "write", "generate", "me"):
            return kept[index + 1 :]
    return kept


def _app_name(sentence: str) -> str:
    words = _words(re.split(r"\b(?:for|to|that|where|using|of)\b", sentence)[0])
    return " ".join(words[:4]) if words and words[-1] in APP_WORDS else ""


def _noun(words: list[str]) -> str:
    """What an app is about: the last of its words that is not just `app` or `tracker`."""
    kept = [word for word in words if word not in APP_WORDS]
    return snake(kept[-1]) if kept else "item"


def _find_mentions(text: str, subject: str, things: _Things) -> None:
    """Nothing was declared: what the app is called by, what it is for, what it mentions."""
    words = re.findall(r"[a-z-]+", text)
    usual = next((DOMAINS[word].split(",") for word in words if word in DOMAINS), [])
    noun = _noun(subject.split())
    known = [singular(word) for word in words if singular(word) in FIELDS]
    for found in (usual, [noun] * (noun != "item"), _mentioned(text), known[:1]):
        for name in found if not things.items else ():
            things.add(name)
    if not things.items:
        things.add("item")
        things.notes.append("the description names nothing to keep: 'items' were taken")


def _mentioned(text: str) -> list[str]:
    """Plurals after words like `track` and `manage`, of the first sentence that has any."""
    for sentence in _sentences(text):
        match = MENTIONS.search(sentence)
        items = items_of(match["list"]) if match else []
        things = [item.name for item in items if _is_thing(item) and not item.is_long]
        if things:
            return things
    return []


def _entities(things: _Things) -> tuple[Entity, ...]:
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


def _fields(name: str, names: list[str], things: _Things) -> dict[str, PlanField]:
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
    return " ".join(words).capitalize()[:60] or f"{entity.plural_label} app"


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
    words = _words(target["thing"] if target else subject)
    if target is None:
        named = [word for word in words if word not in COMPONENT_WORDS or word in FIELDS]
        words = [word for word in named if word not in ("component", "react", "vue", "ui")]
    words = [word for word in words if word not in ("component", "react", "vue")]
    return singular_name(snake(" ".join(words[-2:]).replace("-", " ")))


def component_name(plan: Plan) -> str:
    """What a component is called when nobody says: `TaskTable`."""
    return pascal(plan.entities[0].name) + plan.views[0].kind.capitalize()
