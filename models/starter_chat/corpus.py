"""Training and held-out conversations, drawn without end from a seed.

What is held out is decided by a hash of what must be got right, never by a list: a query with free
fillings by its SQL text, everything else by the noisy wording. Training skips what the hash
holds out, so the two never meet. Nothing here touches tensors or the tokenizer.
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from models.starter_chat import json_answers, smalltalk, tool_calls
from models.starter_chat.conversation import Conversation, Message, Tool
from models.starter_chat.facts import FACTS, Fact
from models.starter_chat.noise import noisy
from models.starter_chat.sql_broken import broken, explained
from models.starter_chat.sql_english import phrase
from models.starter_chat.sql_followup import follow_up
from models.starter_chat.sql_joins import draw_join
from models.starter_chat.sql_query import Equals, Query, Window, draw_query
from models.starter_chat.system_prompts import background, draw_system, schema_text

HELD_OUT_IN_TEN = 1
PINNED: tuple[tuple[str, str], ...] = (
    (
        "Get all users created in last 30 days",
        "SELECT * FROM users WHERE created_at >= NOW() - INTERVAL '30 days';",
    ),
    (
        "Get all users created in the last 7 days",
        "SELECT * FROM users WHERE created_at >= NOW() - INTERVAL '7 days';",
    ),
    ("Show the 10 latest orders", "SELECT * FROM orders ORDER BY created_at DESC LIMIT 10;"),
    (
        "Top 5 customers by revenue",
        (
            "SELECT u.name, SUM(o.total) AS revenue FROM users u JOIN orders o ON o.user_id = u.id "
            "GROUP BY u.id, u.name ORDER BY revenue DESC LIMIT 5;"
        ),
    ),
)
_PINNED_SQL = {sql for _, sql in PINNED}
_ASKS = (
    "write a sql query to {}",
    "sql for {}",
    "generate sql: {}",
    "sql: {}",
    "query: {}",
    "translate to sql: {}",
    "write sql for: {}",
    "i need a query for {}",
    "give me the sql for {}",
    "write a query: {}",
    "generate a sql query: {}",
    "write a postgresql query to {}",
    "convert to sql: {}",
    "sql query for {}",
    "write a select for {}",
    "what is the sql for {}",
    "write sql to {}",
    "generate a postgresql query for: {}",
    "question: {}",
    "as sql: {}",
)
_WITH_SCHEMA = (
    "Schema:\n{s}\n\nQuestion: {q}",
    "{s}\n\n{q}",
    "Schema: {s}\nRequest: {q}",
    "Given the schema:\n{s}\nWrite a PostgreSQL query: {q}",
    "{q}\n\nSchema:\n{s}",
    "Tables:\n{s}\n\n{q}\nSQL:",
    "Schema:\n{s}\n\nQuestion: {q}\nSQL:",
    "Database schema:\n{s}\n\nGenerate SQL: {q}",
)
_EXPLAIN = (
    "explain {}",
    "explain: {}",
    "explain this query: {}",
    "what does this query do: {}",
    "what does {} do",
    "describe this sql: {}",
    "explain this sql: {}",
    "explain the query {}",
)
_FIX = (
    "fix {}",
    "fix: {}",
    "fix this query: {}",
    "correct this sql: {}",
    "repair: {}",
    "what is wrong with {}",
    "fix this sql: {}",
    "this query fails: {}",
    "fix the sql: {}",
)


@dataclass(frozen=True)
class Ask:
    """One user turn with its answer; ``held_out`` if training must not see it."""

    said: str
    answer: Message
    held_out: bool


def in_held_out(key: str) -> bool:
    """One key in ten, the same in every run."""
    return hashlib.blake2b(key.encode(), digest_size=8).digest()[0] % 10 < HELD_OUT_IN_TEN


def sql_held_out(sql: str, *, free: bool) -> bool:
    """Only queries with free fillings are held out: 'count users' has no unseen variant."""
    return free and sql not in _PINNED_SQL and in_held_out(sql)


def query_is_free(query: Query) -> bool:
    closed = sum(isinstance(f, Equals | Window) for f in query.filters)
    return query.numbers > 0 or closed > 1


def _said(text: str, base: str) -> tuple[str, bool]:
    return text, text.lower().strip(" ?.!") != base.lower() and in_held_out(text)


def _sql_ask(said: str, sql: str, *, free: bool) -> Ask:
    return Ask(said, Message("assistant", sql), sql_held_out(sql, free=free))


def _sql_question(rng: random.Random) -> tuple[str, str, bool, Query | None]:
    """(question, SQL, has free fillings, the query if one table is enough)."""
    if rng.random() < 0.03:
        return *rng.choice(PINNED), False, None
    if rng.random() < 0.33:
        _, question, sql, free = draw_join(rng)
        return question, sql, free, None
    query = draw_query(rng)
    return phrase(query, rng), query.sql(), query_is_free(query), query


def _sql(rng: random.Random) -> list[Ask]:
    question, sql, free, _ = _sql_question(rng)
    roll = rng.random()
    if roll < 0.12:
        question = rng.choice(_ASKS).format(question)
    if 0.12 <= roll < 0.17:
        said = rng.choice(_WITH_SCHEMA).format(s=schema_text(rng, sql), q=noisy(question, rng))
        return [_sql_ask(said, sql, free=free)]
    return [_sql_ask(noisy(question, rng), sql, free=free)]


def _sql_conversation(rng: random.Random) -> list[Ask]:
    query = draw_query(rng)
    asks = [_sql_ask(noisy(phrase(query, rng), rng), query.sql(), free=query_is_free(query))]
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
        step = follow_up(query, rng)
        if step is None:
            break
        if rng.random() < 0.08:
            asks.append(_intent(rng)[0])
        text, query = step
        asks.append(_sql_ask(noisy(text, rng), query.sql(), free=query_is_free(query)))
    return asks


def _sql_read(rng: random.Random) -> list[Ask]:
    """Explaining a query, or repairing a broken one."""
    query = draw_query(rng)
    sql, held_out = query.sql(), sql_held_out(query.sql(), free=query_is_free(query))
    if rng.random() < 0.5:
        said = rng.choice(_EXPLAIN).format(sql if rng.random() < 0.8 else sql.rstrip(";"))
        return [Ask(_capital(said, rng), Message("assistant", explained(query)), held_out)]
    said = _capital(rng.choice(_FIX).format(broken(sql, rng)), rng)
    return [Ask(said, Message("assistant", sql), held_out)]


def _sql_json(rng: random.Random) -> list[Ask]:
    question, sql, free, _ = _sql_question(rng)
    key = rng.choice(("sql", "sql", "sql", "query"))
    if rng.random() < 0.4:
        return [
            Ask(noisy(question, rng), json_answers.forced({key: sql}), sql_held_out(sql, free=free))
        ]
    form = rng.choice(
        (
            "{q} as json with key {k}",
            "{q} answer as json with the key {k}",
            "return json with {k}: {q}",
            "as json with {k}: {q}",
        )
    )
    said = noisy(form.format(q=question, k=key), rng, typos=0)
    return [Ask(said, json_answers.answer({key: sql}), sql_held_out(sql, free=free))]


def _fact(rng: random.Random) -> list[Ask]:
    fact: Fact = rng.choice(FACTS)
    base = rng.choice(fact.questions)
    said, held_out = _said(noisy(base, rng), base)
    return [Ask(said, _maybe_wrapped(fact.answer, rng), held_out)]


def _intent(rng: random.Random) -> list[Ask]:
    intent, base = smalltalk.draw_intent(rng)
    said, held_out = _said(noisy(base, rng), base)
    return [Ask(said, Message("assistant", intent.answer), held_out)]


def _maybe_wrapped(text: str, rng: random.Random) -> Message:
    """Now and then the answer sits in a JSON shape that a grammar forces."""
    if rng.random() < 0.03:
        return json_answers.forced({rng.choice(("answer", "text", "reply", "message")): text})
    return Message("assistant", text)


def _unknown(rng: random.Random) -> list[Ask]:
    base, answer = smalltalk.draw_unknown(rng)
    said = noisy(base, rng)
    return [Ask(said, Message("assistant", answer), in_held_out(said))]


def _trick(rng: random.Random) -> list[Ask]:
    roll = rng.random()
    if roll < 0.4:
        turns = smalltalk.draw_name(rng)
    else:
        turns = [smalltalk.draw_write(rng) if roll < 0.7 else smalltalk.draw_count(rng)]
    asks = []
    for said, answer in turns:
        text, held_out = _said(noisy(said, rng, typos=0.02), said)
        asks.append(Ask(text, Message("assistant", answer), held_out))
    return asks


def _json(rng: random.Random) -> list[Ask]:
    base, answer = json_answers.draw_json(rng)
    said = _capital(base, rng)
    return [Ask(said, answer, in_held_out(said))]


def _capital(text: str, rng: random.Random) -> str:
    return text[:1].upper() + text[1:] if rng.random() < 0.6 else text


Maker = Callable[[random.Random], list[Ask]]
MAKERS: dict[str, tuple[Maker, float]] = {
    "sql": (_sql, 38),
    "sql follow-up": (_sql_conversation, 15),
    "sql explain, fix": (_sql_read, 4),
    "json sql": (_sql_json, 2.5),
    "fact": (_fact, 13),
    "small talk": (_intent, 5),
    "unknown topic": (_unknown, 4.5),
    "trick": (_trick, 2.5),
    "json": (_json, 9),
}
TOOL_WEIGHT = 9.0


def draw(rng: random.Random, kind: str = "") -> Conversation:
    """One conversation of ``kind`` (any if empty). ``held_out`` says if training must skip it."""
    if not kind:
        weights = [weight for _, weight in MAKERS.values()] + [TOOL_WEIGHT]
        kind = rng.choices([*MAKERS, "tool call"], weights)[0]
    if kind == "tool call":
        return _tool_conversation(rng)
    return _conversation(kind, MAKERS[kind][0](rng), draw_system(rng))


def _conversation(
    kind: str, asks: list[Ask], system: str, tools: tuple[Tool, ...] = ()
) -> Conversation:
    messages = [Message("system", system)] if system else []
    for ask in asks:
        messages += [Message("user", ask.said), ask.answer]
    return Conversation(kind, tuple(messages), tools, any(a.held_out for a in asks))


def _tool_conversation(rng: random.Random) -> Conversation:
    system = draw_system(rng)
    roll = rng.random()
    if roll < 0.22:  # tools are offered, none is needed
        kind = rng.choice(("fact", "small talk", "unknown topic", "sql"))
        family = "calculator" if kind == "unknown topic" else ""
        plain = _conversation("tool call", MAKERS[kind][0](rng), system)
        return replace(plain, tools=tool_calls.offered(rng, family, None))
    if roll < 0.45:
        question, sql, free, _ = _sql_question(rng)
        family, use = "search", tool_calls.sql_use(rng, question, sql)
        held_out = sql_held_out(sql, free=free)
    else:
        family, use = tool_calls.draw_use(rng)
        held_out = False
    asked = noisy(use.question, rng, typos=0.03)
    if roll >= 0.45:
        held_out = in_held_out(asked)
    messages = [Message("system", system)] if system else []
    messages += tool_calls.turns(use, asked, rng)
    return Conversation(
        "tool call", tuple(messages), tool_calls.offered(rng, family, use), held_out
    )


def training(seed: int) -> Iterator[Conversation]:
    """Training conversations without end; nothing held out is among them."""
    rng = random.Random(seed)
    while True:
        conversation = draw(rng)
        if not conversation.held_out:
            yield conversation


def long_training(seed: int, most_turns: int = 40) -> Iterator[Conversation]:
    """Many unrelated turns in one conversation, at times after a long system prompt."""
    rng = random.Random(seed)
    while True:
        asks: list[Ask] = []
        for _ in range(rng.randint(4, most_turns)):
            kind = rng.choices(list(MAKERS), [weight for _, weight in MAKERS.values()])[0]
            asks += _whole(MAKERS[kind][0](rng))
        system = background(rng, rng.randint(3, 40)) if rng.random() < 0.4 else draw_system(rng)
        yield _conversation("long", asks, system)


def _whole(asks: list[Ask]) -> list[Ask]:
    """All turns or none: a follow-up without its question has no answer."""
    return [] if any(ask.held_out for ask in asks) else asks


def held_out(seed: int, kind: str, count: int) -> list[Conversation]:
    """``count`` conversations that training skips. For conversations in turns the last counts."""
    rng = random.Random(f"{seed} {kind}")
    found: list[Conversation] = []
    while len(found) < count:
        conversation = draw(rng, kind)
        if conversation.held_out and conversation.messages[-1].learn is None:
            found.append(conversation)
    return found


def held_out_wordings() -> list[Conversation]:
    """One question per fact in words that training never shows."""
    return [
        _conversation(
            "fact, new wording",
            [Ask(_capitalised(fact.held_out), Message("assistant", fact.answer), held_out=True)],
            "",
        )
        for fact in FACTS
    ]


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:] + "?"
