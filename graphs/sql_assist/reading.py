"""Only reading: what a statement does besides, as far as its text can tell.

Place in the path: a check of statements that nobody asked to change anything. It goes by what is
known to be harmless: what it does not know is refused. What views, operators and functions of the
database's own do behind known names is not to be seen here.
"""

from collections.abc import Iterator

from sqlglot import exp

from graphs.sql_assist.faults import Fault, at_node
from graphs.sql_assist.harmless import HARMLESS

NOT_READ_ONLY = "not_read_only"
MORE_THAN_READING = (
    exp.DDL,
    exp.DML,
    exp.Drop,
    exp.Alter,
    exp.TruncateTable,
    exp.Command,
    exp.Into,
    exp.Lock,
    exp.QueryTransform,
)
IN_WORDS = {
    "into": "SELECT INTO",
    "lock": "a lock of rows",
    "querytransform": "TRANSFORM",
    "truncatetable": "TRUNCATE",
}
REACHING_OUT = (
    exp.AIAgg,
    exp.AIClassify,
    exp.AIEmbed,
    exp.AIForecast,
    exp.AIGenerate,
    exp.AISimilarity,
    exp.AISummarizeAgg,
    exp.Anonymous,
    exp.DynamicIdentifier,
    exp.GenerateBool,
    exp.GenerateDouble,
    exp.GenerateEmbedding,
    exp.GenerateInt,
    exp.GenerateTable,
    exp.GenerateText,
    exp.MLForecast,
    exp.MLTranslate,
    exp.NextValueFor,
    exp.Predict,
    exp.ReadCSV,
    exp.ReadParquet,
    exp.Secret,
    exp.ToFile,
)
"""Functions that the parser has a type for, or a name, and that may do more than compute."""
HINTS = (exp.Hint, exp.WithTableHint)
"""How to run a query, in words that look like calls."""
HINTS_WITHOUT_LOCKS = {
    "forcescan",
    "forceseek",
    "index",
    "noexpand",
    "nolock",
    "nowait",
    "readcommitted",
    "readpast",
    "readuncommitted",
    "snapshot",
}
BUILT_IN: dict[str, str] = {"postgres": "pg_catalog", "redshift": "pg_catalog"}
"""The schema that is meant where a function's name has none."""
CHAINED = ("duckdb",)
"""Dialects in which `x.f()` is `f(x)`."""
SEQUENCES = ("oracle", "snowflake")
"""Dialects in which `s.nextval` takes the next number of a sequence."""
BY_PATH = ("clickhouse", "databricks", "duckdb", "spark")
"""Dialects in which a table's name may be the path of a file."""
BY_FORMAT = ("databricks", "spark")
"""Dialects in which a schema's name may be the format of such a file."""
BY_ENDING = ("duckdb",)
"""Dialects in which a name may be that of a file in the directory where the database runs."""
FILE_FORMATS = {
    "avro",
    "binaryfile",
    "csv",
    "delta",
    "iceberg",
    "json",
    "jsonl",
    "ndjson",
    "orc",
    "parquet",
    "text",
    "tsv",
    "txt",
    "xlsx",
    "xml",
}


def besides_reading(tree: exp.Expr, text: str, dialect: str) -> Iterator[Fault]:
    """What the statement does, or may do, besides reading the tables that it names."""
    for node in tree.walk(prune=lambda each: isinstance(each, HINTS)):
        if message := _does(node) or _calls(node, dialect) or _takes(node, dialect):
            yield at_node(NOT_READ_ONLY, message, text, node)
        elif isinstance(node, exp.Table) and (message := _reaches(node, dialect)):
            yield at_node(NOT_READ_ONLY, message, text, node.this or node)


def _does(node: exp.Expr) -> str | None:
    """A part that changes or locks something."""
    is_assignment = isinstance(node, exp.PropertyEQ) and isinstance(node.this, exp.Parameter)
    if isinstance(node, exp.WithTableHint) and not _leaves_unlocked(node):
        return _refusal(node.sql("tsql"))
    if is_assignment or isinstance(node, MORE_THAN_READING):
        return _refusal("an assignment" if is_assignment else IN_WORDS.get(node.key, _kind(node)))
    return None


def _kind(node: exp.Expr) -> str:
    return node.name.upper() if isinstance(node, exp.Command) else node.key.upper()


def _refusal(what: str) -> str:
    return f"{what} does more than read, which was not asked for"


def _leaves_unlocked(hint: exp.WithTableHint) -> bool:
    return all(each.name.lower() in HINTS_WITHOUT_LOCKS for each in hint.expressions)


def _takes(node: exp.Expr, dialect: str) -> str | None:
    """A sequence's next number."""
    is_column = isinstance(node, exp.Column) and node.table and dialect in SEQUENCES
    return _refusal("NEXTVAL") if is_column and node.name.lower() == "nextval" else None


def _calls(node: exp.Expr, dialect: str) -> str | None:
    """A call of what is not known to compute and no more."""
    if isinstance(node, exp.Operator):
        return f"nothing is known of {node.text('operator')}: only reading was asked for"
    if not isinstance(node, exp.Func):
        return None
    name = node.name if isinstance(node, exp.Anonymous) else node.sql_name()
    known = not isinstance(node, REACHING_OUT) or (
        isinstance(node, exp.Anonymous) and name.lower() in HARMLESS[dialect]
    )
    if known and _is_built_in(node, dialect):
        return None
    return f"{name.lower()}() is not known to only read, which is all that was asked for"


def _is_built_in(call: exp.Func, dialect: str) -> bool:
    """Whether no schema or package is named of which it would be."""
    parent = call.parent
    where = ""
    if isinstance(parent, exp.Dot) and parent.expression is call:
        where = parent.this.sql()
    elif isinstance(parent, exp.Table) and parent.this is call:
        where = parent.db
    return where.lower() in ("", BUILT_IN.get(dialect)) or dialect in CHAINED


def _reaches(table: exp.Table, dialect: str) -> str | None:
    """A table's name that is the name of a file, a stage or another server."""
    source = table.this
    parts = [table.catalog, table.db, table.name]
    if isinstance(source, (exp.Literal, exp.Var)) or _is_file(parts, dialect):
        return f"'{'.'.join(filter(None, parts))[:100]}' is a file, not a table"
    is_elsewhere = dialect == "tsql" and isinstance(source, exp.Dot)
    if is_elsewhere or (dialect == "oracle" and "@" in table.name):
        return f"'{table.sql(dialect)[:100]}' is a table of another server"
    return None


def _is_file(parts: list[str], dialect: str) -> bool:
    *_, schema, name = (part.lower() for part in parts)
    if dialect in BY_PATH and any(mark in part for mark in ("/", "\\") for part in parts):
        return True
    if dialect in BY_ENDING:
        return "." in name or (bool(schema) and name in FILE_FORMATS)
    return dialect in BY_FORMAT and schema in FILE_FORMATS
