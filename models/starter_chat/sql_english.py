"""English questions for ``Query`` values: many wordings, one meaning.

Wording is compositional (verb, adjectives, noun, conditions, window), so that rare combinations
are phrased too. It adds no spelling noise: ``noise`` does.
"""

import random

from models.starter_chat.sql_domain import BY_NAME, Closed, Measure, Table
from models.starter_chat.sql_query import Compare, Equals, Filter, Query
from models.starter_chat.sql_windows import number_text, window_text

LIST_VERBS = (
    "get",
    "get",
    "get all",
    "show",
    "show me",
    "show me all",
    "list",
    "list all",
    "find",
    "find all",
    "give me",
    "give me all",
    "fetch",
    "fetch all",
    "select",
    "return",
    "return all",
    "display",
    "i want",
    "i need",
    "i want to see",
    "can you show me",
    "could you list",
    "what are the",
    "which are the",
    "pull",
    "retrieve",
    "retrieve all",
    "look up",
    "all",
    "get me",
    "get me all",
    "",
    "which",
    "who are the",
    "select all",
    "query all",
    "get a list of",
    "show all",
    "get every",
)
COUNT_FORMS = (
    "how many {x} are there",
    "how many {x} do we have",
    "count {x}",
    "count the {x}",
    "count all {x}",
    "number of {x}",
    "get the number of {x}",
    "what is the number of {x}",
    "how many {x}",
    "what's the count of {x}",
    "give me the count of {x}",
    "tell me how many {x} there are",
    "total number of {x}",
    "count of {x}",
    "show the number of {x}",
    "can you count the {x}",
    "how many {x} have we got",
)
DISTINCT_FORMS = (
    "which {w} do {x} have",
    "list the distinct {w} values of {x}",
    "what different {w} values do {x} have",
    "unique {w} of {x}",
    "show all distinct {w} of {x}",
    "distinct {w} of {x}",
)


def phrase(query: Query, rng: random.Random) -> str:
    """A lower-case question without final punctuation."""
    table = BY_NAME[query.table]
    if query.group:
        return _grouped(query, table, rng)
    if query.aggregate == "count":
        return rng.choice(COUNT_FORMS).format(x=noun_phrase(query, rng))
    if query.aggregate in ("sum", "avg", "max", "min"):
        return _aggregated(query, table, rng)
    if query.aggregate == "distinct":
        word = rng.choice(_closed(table, query.of[0]).group_words)
        return rng.choice(DISTINCT_FORMS).format(w=word, x=rng.choice(table.nouns))
    if query.aggregate == "columns":
        return _columns(query, table, rng)
    return _ranked(query, table, rng) if query.limit else _listed(query, rng)


def noun_phrase(query: Query, rng: random.Random, noun: str = "") -> str:
    """Noun with all filters, e.g. 'active users from Germany created in the last 30 days'."""
    table = BY_NAME[query.table]
    before, after = [], []
    for condition in query.filters:
        if isinstance(condition, Equals) and _goes_before(table, condition, rng):
            before.append(value_text(table, condition, rng))
        else:
            after.append(filter_text(table, condition, rng))
    after = [text for text in after if text]
    if len(after) > 1 and rng.random() < 0.3:
        after.insert(1, "and")
    return " ".join([*before, noun or rng.choice(table.nouns), *after])


def _goes_before(table: Table, condition: Equals, rng: random.Random) -> bool:
    return _closed(table, condition.column).adjective and rng.random() < 0.6


def _closed(table: Table, column: str) -> Closed:
    return next(c for c in table.closed if c.column == column)


def measure(table: Table, column: str) -> Measure:
    return next(m for m in table.measures if m.column == column)


def value_text(table: Table, condition: Equals, rng: random.Random) -> str:
    return rng.choice(_closed(table, condition.column).values[condition.value])


def filter_text(table: Table, condition: Filter, rng: random.Random) -> str:
    """One filter as words that follow the noun."""
    if isinstance(condition, Equals):
        form = rng.choice(_closed(table, condition.column).after)
        return form.format(v=value_text(table, condition, rng))
    if isinstance(condition, Compare):
        return compare_text(measure(table, condition.column), condition, rng)
    verb, text = rng.choice(table.verbs), window_text(condition, rng)
    return text if verb == "from" and text.startswith("from") else f"{verb} {text}".strip()


def compare_text(column: Measure, condition: Compare, rng: random.Random) -> str:
    n, word = number_text(condition.number, rng), column.words[0]
    match condition.operator:
        case ">":
            return rng.choice(column.more).format(n=n)
        case "<":
            return rng.choice(column.less).format(n=n)
        case ">=":
            return rng.choice(
                (
                    f"with {word} of at least {n}",
                    f"with at least {n} {word}",
                    f"with {word} {n} or more",
                    f"where {word} >= {n}",
                )
            )
        case "<=":
            return rng.choice(
                (
                    f"with {word} of at most {n}",
                    f"with at most {n} {word}",
                    f"with {word} {n} or less",
                    f"where {word} <= {n}",
                )
            )
        case "=":
            stars = "star" if condition.number == 1 else "stars"
            return rng.choice(
                (
                    f"with {word} {n}",
                    f"with a {word} of {n}",
                    f"with {n} {stars}",
                    f"where {word} = {n}",
                    f"rated {n}",
                )
            )
        case "between":
            forms = [
                f"with {word} between {n} and {condition.high}",
                f"with a {word} from {n} to {condition.high}",
            ]
            if "over {n}" in column.more:  # the column that a bare number means
                forms.append(f"between {n} and {condition.high}")
            return rng.choice(forms)


def _listed(query: Query, rng: random.Random) -> str:
    verb = rng.choice(LIST_VERBS)
    article = "the " if verb and not verb.endswith(("the", "which")) and rng.random() < 0.15 else ""
    return f"{verb} {article}{noun_phrase(query, rng)}".strip()


def _columns(query: Query, table: Table, rng: random.Random) -> str:
    words = " and ".join(rng.choice(table.columns[c]) for c in query.of)
    verb = rng.choice(
        (
            "get the",
            "show the",
            "list the",
            "give me the",
            "show me the",
            "list",
            "what are the",
            "get",
            "fetch the",
            "select the",
            "show only the",
            "select",
        )
    )
    return f"{verb} {words} of {rng.choice(('', '', 'all ', 'the '))}{noun_phrase(query, rng)}"


def _aggregated(query: Query, table: Table, rng: random.Random) -> str:
    word = rng.choice(measure(table, query.of[0]).words)
    x = noun_phrase(query, rng)
    sums = (
        "total {w} of {x}",
        "sum of {w} of {x}",
        "what is the total {w} of {x}",
        "sum the {w} of {x}",
        "what is the sum of the {w} of {x}",
        "sum up the {w} for {x}",
        "add up the {w} of {x}",
        "how much is the total {w} of {x}",
        "get the total {w} of {x}",
    )
    averages = (
        "average {w} of {x}",
        "what is the average {w} of {x}",
        "mean {w} of {x}",
        "what's the average {w} for {x}",
        "avg {w} of {x}",
        "get the average {w} of {x}",
        "calculate the average {w} of {x}",
        "show the mean {w} of {x}",
    )
    highest = (
        "highest {w} of {x}",
        "maximum {w} of {x}",
        "what is the highest {w} of {x}",
        "max {w} of {x}",
        "what is the largest {w} of {x}",
        "get the maximum {w} of {x}",
    )
    lowest = (
        "lowest {w} of {x}",
        "minimum {w} of {x}",
        "what is the lowest {w} of {x}",
        "min {w} of {x}",
        "what is the smallest {w} of {x}",
        "get the minimum {w} of {x}",
    )
    forms = {"sum": sums, "avg": averages, "max": highest, "min": lowest}
    return rng.choice(forms[query.aggregate]).format(w=word, x=rng.choice(("", "all ")) + x)


def group_text(query: Query, rng: random.Random) -> str:
    """'per country', 'grouped by month', 'by status'."""
    table = BY_NAME[query.table]
    if query.by_period:
        period = query.group[1:]
        return rng.choice(
            (
                f"per {period}",
                f"by {period}",
                f"each {period}",
                f"grouped by {period}",
                f"for each {period}",
                f"for every {period}",
            )
        )
    word = rng.choice(_closed(table, query.group).group_words)
    return rng.choice(
        (
            f"per {word}",
            f"by {word}",
            f"for each {word}",
            f"grouped by {word}",
            f"group by {word}",
            f"in each {word}",
            f"broken down by {word}",
        )
    )


def _grouped(query: Query, table: Table, rng: random.Random) -> str:
    by, x = group_text(query, rng), noun_phrase(query, rng)
    if query.aggregate == "count":
        counts = (
            "how many {x} {g}",
            "number of {x} {g}",
            "count {x} {g}",
            "show {x} count {g}",
            "count the {x} {g}",
            "how many {x} are there {g}",
            "number of {x} {g}",
            "how many {x} do we have {g}",
            "get the count of {x} {g}",
            "{x} {g}",
        )
        return rng.choice(counts).format(x=x, g=by)
    names = {
        "sum": ("total", "sum of"),
        "avg": ("average", "mean", "avg"),
        "max": ("highest", "maximum", "max"),
        "min": ("lowest", "minimum", "min"),
    }
    word = rng.choice(measure(table, query.of[0]).words)
    forms = (
        "{a} {w} of {x} {g}",
        "what is the {a} {w} of {x} {g}",
        "show the {a} {w} of {x} {g}",
        "get the {a} {w} of {x} {g}",
        "{a} {w} {g} for {x}",
    )
    return rng.choice(forms).format(a=rng.choice(names[query.aggregate]), w=word, x=x, g=by)


def _ranked(query: Query, table: Table, rng: random.Random) -> str:
    one = query.limit == 1
    noun = _singular(rng.choice(table.nouns)) if one else ""
    x = noun_phrase(query, rng, noun)
    n = "" if one and rng.random() < 0.8 else number_text(query.limit, rng) + " "
    verb = rng.choice(
        (
            "show me the",
            "get the",
            "list the",
            "what are the",
            "give me the",
            "show",
            "find the",
            "the",
            "which are the",
            "fetch the",
            "get",
            "i want the",
            "select the",
            "",
        )
    )
    if not query.order:
        forms = (f"{n}{x}", f"first {n}{x}", f"any {n}{x}", f"{n}example {x}")
        return f"{verb} {rng.choice(forms if n else (f'first {x}', f'any {x}'))}".strip()
    return f"{verb} {rng.choice(_rank_forms(query, table, n, x, rng))}".strip()


def _rank_forms(query: Query, table: Table, n: str, x: str, rng: random.Random) -> list[str]:
    if query.order == table.date:
        words = (
            ("latest", "newest", "most recent", "last")
            if query.descending
            else ("oldest", "earliest")
        )
        word = rng.choice(words)
        return [f"{n}{word} {x}", f"{word} {n}{x}"]
    column = measure(table, query.order)
    word, name = rng.choice(column.most if query.descending else column.least), column.words[0]
    forms = [f"{n}{word} {x}", f"{word} {n}{x}" if n else f"{word} {x}"]
    if name not in ("price", "stock", "rating"):
        forms = [f"{n}{x} with the {word} {name}", f"{n}{x} with the {word} {name}", *forms]
    if len(table.measures) > 1 and name in ("quantity", "unit price"):
        forms = forms[:2]
    direction = "top" if query.descending else "bottom"
    return [*forms, f"{direction} {n}{x} by {name}"]


def _singular(noun: str) -> str:
    irregular = {
        "people": "person",
        "categories": "category",
        "product categories": "product category",
        "purchases": "purchase",
        "invoices": "invoice",
        "articles": "article",
    }
    return irregular.get(noun, noun.removesuffix("s"))
