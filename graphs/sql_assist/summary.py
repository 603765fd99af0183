"""A model's one sentence on a query, if it holds.

Place in the path: beside the steps of an explanation, which are told from the syntax tree. The
sentence is kept only if its numbers and values are those of the query and it names the query's
tables and no others. It may still be wrong about what it does not name: that is why it stands
apart.
"""

import re

from sqlglot import exp

from graphs.sql_assist.names import tables_of
from graphs.sql_assist.tables import Tables

NUMBER = re.compile(r"\d+(?:\.\d+)?")
MOST_CHARACTERS = 600


def holds(sentence: str, tree: exp.Expr, tables: Tables) -> bool:
    """Whether `sentence` says nothing that `tree` contradicts, and leaves no value out."""
    text = sentence.casefold()
    if not sentence.strip() or len(sentence) > MOST_CHARACTERS:
        return False
    written = " ".join(literal.name for literal in tree.find_all(exp.Literal))
    if set(NUMBER.findall(text)) != set(NUMBER.findall(written)):
        return False
    values = [literal.name for literal in tree.find_all(exp.Literal) if literal.is_string]
    if any(value.casefold() not in text for value in values if not NUMBER.search(value)):
        return False
    used = {table.name.casefold() for table in tables_of(tree)}
    others = {table.name.casefold() for table in tables} - used
    columns = {column.name.casefold() for column in tree.find_all(exp.Column)}
    is_named = all(_says(text, name) for name in used)
    return is_named and not any(_says(text, name) for name in others - columns)


def _says(text: str, name: str) -> bool:
    """Whether a table is named, in the singular or plural, with spaces for underscores."""
    stem = re.escape(name.removesuffix("ies").removesuffix("s")).replace("_", "[ _]")
    return re.search(rf"\b{stem}(?:s|y|ies|es)?\b", text) is not None
