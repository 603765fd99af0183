"""What the chat model is asked, and the SQL in what it answers.

Place in the path: the two ends of the step that calls the model. A prompt is built from what was
read of the schema, never from its text: its comments stay out. Whatever the answer holds, one text
comes of it, which is then checked like any other.
"""

import re
from collections.abc import Sequence
from typing import Any, Literal

import orjson

from graphs.sql_assist.faults import Fault
from graphs.sql_assist.tables import Table, Tables

SchemaForm = Literal["types", "names", "none"]
Messages = list[dict[str, str]]
DIALECTS = {
    "postgres": "PostgreSQL",
    "mysql": "MySQL",
    "sqlite": "SQLite",
    "tsql": "T-SQL",
    "oracle": "Oracle SQL",
    "bigquery": "BigQuery",
    "snowflake": "Snowflake",
    "redshift": "Redshift",
    "databricks": "Databricks",
    "spark": "Spark SQL",
    "hive": "Hive",
    "trino": "Trino",
    "presto": "Presto",
    "duckdb": "DuckDB",
    "clickhouse": "ClickHouse",
}
FENCED = re.compile(r"```\w*+(.*?)```", re.DOTALL)
"""Read once, however long it is: a block that nothing closes is looked at from one place only."""
WORD = re.compile(r"[a-z0-9]+")
MOST_TOLD = 600
"""Characters of what is wrong, in a prompt."""
ENOUGH = 3
"""So few tables are all shown."""
RESPONSE = {
    "type": "json_schema",
    "json_schema": {
        "name": "query",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"sql": {"type": "string"}},
            "required": ["sql"],
            "additionalProperties": False,
        },
    },
}
"""Forces the answer into one field: a question cannot lead the model out of it."""


def instructions(template: str, dialect: str) -> str:
    """The system message, for a dialect."""
    return template.replace("{dialect}", DIALECTS[dialect])


def question(system: str, asked: str, schema: str) -> Messages:
    """A question to be answered with a query."""
    text = f"Schema:\n{schema}\n\nQuestion: {asked}" if schema else asked
    return [_message("system", system), _message("user", text)]


def again(messages: Messages, answer: str, faults: Sequence[Fault]) -> Messages:
    """The second round: what was answered, and what is wrong with it."""
    said = _told(faults)
    text = f"This query fails: {answer}\nError: {said}\nWrite the corrected query."
    return [*messages, _message("assistant", answer), _message("user", text)]


def broken(system: str, sql: str, faults: Sequence[Fault], schema: str) -> Messages:
    """A statement to be repaired."""
    said = _told(faults)
    text = f"Fix this query: {sql}\nError: {said}"
    shown = f"Schema:\n{schema}\n\n{text}" if schema else text
    return [_message("system", system), _message("user", shown)]


def to_explain(sql: str) -> Messages:
    """A statement to be told in one sentence."""
    return [_message("user", f"Explain this query: {sql}")]


def _told(faults: Sequence[Fault]) -> str:
    return "; ".join(map(str, faults))[:MOST_TOLD]


def _message(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def sql_in(answer: str) -> str:
    """The SQL of an answer: of its JSON, of its fenced block, or all of it."""
    text = answer.strip()
    if text.startswith("{"):
        text = _of_json(text)
    if fenced := FENCED.search(text):
        text = fenced.group(1)
    return text.strip()


def _of_json(text: str) -> str:
    try:
        document: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    for key in ("sql", "query"):
        if isinstance(document.get(key), str):
            return str(document[key])
    return ""


def schema_text(tables: Tables, asked: str, form: SchemaForm, most: int) -> str:
    """The schema for a prompt: the tables that the question seems to be about, then others.

    Args:
        most: characters; tables that do not fit are left out.
    """
    if form == "none":
        return ""
    lines: list[str] = []
    for table in _by_relevance(tables, asked):
        line = _line(table, form)
        if lines and sum(map(len, lines)) + len(line) > most:
            break
        lines.append(line)
    return "\n".join(lines)[:most]


def _line(table: Table, form: SchemaForm) -> str:
    if form == "names":
        return f"{table.name}({', '.join(column.name for column in table.columns)})"
    columns = [
        f"{column.name} {column.type}".strip()
        + (" PRIMARY KEY" if table.primary_key == (column.name,) else "")
        + (f" IN ({', '.join(map(repr, column.values[:20]))})" if column.values else "")
        for column in table.columns
    ]
    references = [f"{r.column} REFERENCES {r.table}" for r in table.references]
    return f"{table.name}({', '.join(columns + references)})"


def _by_relevance(tables: Tables, asked: str) -> list[Table]:
    """Tables that share words with the question first, and those that they refer to."""
    if len(tables) <= ENOUGH:
        return list(tables)
    words = {_stem(word) for word in WORD.findall(asked.lower())}
    scores = {table.name.casefold(): _score(table, words) for table in tables}
    for table in tables:
        for reference in table.references:
            if scores[table.name.casefold()] and reference.table.casefold() in scores:
                scores[reference.table.casefold()] += 0.5
    return sorted(tables, key=lambda table: -scores[table.name.casefold()])


def _score(table: Table, words: set[str]) -> float:
    """Shared words: of the table's name, of its columns, of its closed values."""
    names = {_stem(word) for word in WORD.findall(table.name.lower())}
    columns = {_stem(w) for c in table.columns for w in WORD.findall(c.name.lower())}
    values = {_stem(w) for c in table.columns for v in c.values for w in WORD.findall(v.lower())}
    return 3.0 * len(names & words) + len(columns & words) + 1.5 * len(values & words)


def _stem(word: str) -> str:
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word.removesuffix("s") if len(word) > len("ids") else word
