"""Follow-up questions: each changes the previous ``Query`` and says so in a few words."""

import random
from collections.abc import Callable
from dataclasses import replace

from models.starter_chat.sql_domain import BY_NAME
from models.starter_chat.sql_english import (
    compare_text,
    filter_text,
    group_text,
    value_text,
)
from models.starter_chat.sql_query import (
    Compare,
    Equals,
    Query,
    Window,
    draw_compare,
    draw_equals,
    draw_number,
    draw_window,
)
from models.starter_chat.sql_windows import number_text, window_text

Step = tuple[str, Query]


def follow_up(query: Query, rng: random.Random) -> Step | None:
    """A question about ``query``'s result and the query that answers it, or None if stuck."""
    changes: list[Callable[[Query, random.Random], Step | None]] = [
        _narrow,
        _narrow,
        _narrow_number,
        _count,
        _window,
        _window,
        _limit,
        _order,
        _group,
        _swap,
        _columns,
    ]
    rng.shuffle(changes)
    for change in changes:
        step = change(query, rng)
        if step and step[1].sql() != query.sql():
            return step
    return None


def _plain(query: Query) -> bool:
    return query.aggregate in ("rows", "columns") and not query.limit and not query.order


def _narrow(query: Query, rng: random.Random) -> Step | None:
    table = BY_NAME[query.table]
    used = {f.column for f in query.filters} | {query.group, *query.of}
    free = [c for c in table.closed if c.column not in used]
    if not free or query.aggregate == "distinct":
        return None
    closed = rng.choice(free)
    chosen = draw_equals(rng, closed)
    after, value = filter_text(table, chosen, rng), value_text(table, chosen, rng)
    forms = [
        f"only those {after}",
        f"just those {after}",
        f"only {after}",
        f"only the ones {after}",
        f"now only those {after}",
        f"and only {after}",
    ]
    if closed.adjective:
        forms += [
            f"only the {value} ones",
            f"just the {value} ones",
            f"only {value} ones",
            f"only the {value} ones",
            f"now only the {value} ones",
            f"only {value}",
        ]
    return rng.choice(forms), replace(query, filters=(*query.filters, chosen))


def _narrow_number(query: Query, rng: random.Random) -> Step | None:
    table = BY_NAME[query.table]
    used = {f.column for f in query.filters} | set(query.of) | {query.order}
    free = [m for m in table.measures if m.column not in used]
    if not free or query.group or query.aggregate not in ("rows", "count", "columns"):
        return None
    column = rng.choice(free)
    chosen = draw_compare(rng, column)
    text = compare_text(column, chosen, rng)
    form = rng.choice(("only those {}", "only the ones {}", "just the ones {}", "only {}"))
    return form.format(text), replace(query, filters=(*query.filters, chosen))


def _count(query: Query, rng: random.Random) -> Step | None:
    if not _plain(query):
        return None
    text = rng.choice(
        (
            "now count them",
            "count them",
            "how many are there",
            "how many is that",
            "how many are those",
            "just the count",
            "how many",
            "only the number",
            "give me the count instead",
            "and how many are there",
        )
    )
    return text, replace(query, aggregate="count", of=())


def _window(query: Query, rng: random.Random) -> Step | None:
    table = BY_NAME[query.table]
    if not table.date or query.aggregate == "distinct":
        return None
    window = draw_window(rng, table.date)
    text = window_text(window, rng)
    kept = tuple(f for f in query.filters if not isinstance(f, Window))
    forms = (
        "and {}",
        "what about {}",
        "now {}",
        "only {}",
        "same for {}",
        "the same {}",
        "and {}",
        "only those {}",
    )
    bare = text.removeprefix("in ").removeprefix("from ").removeprefix("for ")
    form = rng.choice(forms)
    return form.format(bare if rng.random() < 0.6 else text), replace(
        query, filters=(*kept, window)
    )


def _limit(query: Query, rng: random.Random) -> Step | None:
    if query.aggregate not in ("rows", "columns"):
        return None
    number = draw_number(rng)
    form = rng.choice(
        (
            "only the first {}",
            "just the first {}",
            "limit to {}",
            "limit it to {}",
            "only {} of them",
            "show only {}",
            "just {}",
            "give me only {}",
            "make it {}",
            "limit {}",
        )
    )
    return form.format(number_text(number, rng)), replace(query, limit=number)


def _order(query: Query, rng: random.Random) -> Step | None:
    table = BY_NAME[query.table]
    if query.aggregate != "rows":
        return None
    options: list[tuple[str, str, bool]] = []
    if table.date:
        options += [
            ("newest first", table.date, True),
            ("oldest first", table.date, False),
            ("sort by date", table.date, True),
            ("latest first", table.date, True),
        ]
    for column in table.measures:
        word = column.words[0]
        options += [
            (f"sort by {word}", column.column, True),
            (f"order by {word}", column.column, True),
            (f"sort them by {word} descending", column.column, True),
            (f"sort by {word} ascending", column.column, False),
            (f"order them by {word} ascending", column.column, False),
        ]
    if not options:
        return None
    text, order, descending = rng.choice(options)
    return text, replace(query, order=order, descending=descending)


def _group(query: Query, rng: random.Random) -> Step | None:
    table = BY_NAME[query.table]
    if query.group or query.aggregate not in ("count", "sum", "avg"):
        return None
    used = {f.column for f in query.filters if isinstance(f, Equals)}
    groups = [c.column for c in table.closed if c.column not in used]
    groups += ["@month", "@day"] if table.date else []
    if not groups:
        return None
    grouped = replace(query, group=rng.choice(groups))
    by = group_text(grouped, rng)
    return rng.choice(("{}", "now {}", "and {}", "show it {}", "the same {}")).format(by), grouped


def _swap(query: Query, rng: random.Random) -> Step | None:
    """'and the inactive ones?': another value of a column that is already filtered."""
    table = BY_NAME[query.table]
    mine = [f for f in query.filters if isinstance(f, Equals)]
    if not mine:
        return None
    old = rng.choice(mine)
    closed = next(c for c in table.closed if c.column == old.column)
    new = draw_equals(rng, closed)
    value, after = value_text(table, new, rng), filter_text(table, new, rng)
    forms = [
        f"and those {after}",
        f"what about those {after}",
        f"what about {value}",
        f"and {value}",
        f"the same for {value}",
    ]
    if closed.adjective:
        forms += [f"and the {value} ones", f"what about the {value} ones"]
    filters = tuple(new if f == old else f for f in query.filters)
    return rng.choice(forms), replace(query, filters=filters)


def _columns(query: Query, rng: random.Random) -> Step | None:
    table = BY_NAME[query.table]
    if query.aggregate != "rows" or query.limit or query.order or not table.columns:
        return None
    column = rng.choice(list(table.columns))
    word = rng.choice(table.columns[column])
    if any(isinstance(f, Compare | Equals) and f.column == column for f in query.filters):
        return None
    text = rng.choice(
        (
            f"only the {word}",
            f"just the {word}",
            f"just their {word}",
            f"i only need the {word}",
            f"show only the {word}",
        )
    )
    return text, replace(query, aggregate="columns", of=(column,))
