"""SQL assist requests: a question or a statement, what to do with it, and the schema it is about.

Place in the path: parsed once by the gateway (step 1); the graph receives the same types. They
check shape and size. What a schema or a statement means is the graph's to read.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, field_validator

from core.chat import BYTES_PER_TOKEN
from core.model import ModelCard
from core.work import WorkUnits

Action = Literal["generate", "explain", "optimize", "fix"]
Dialect = Literal[
    "postgres",
    "mysql",
    "sqlite",
    "tsql",
    "oracle",
    "bigquery",
    "snowflake",
    "redshift",
    "databricks",
    "spark",
    "hive",
    "trino",
    "presto",
    "duckdb",
    "clickhouse",
]
OTHER_NAMES = {"postgresql": "postgres", "mariadb": "mysql", "mssql": "tsql", "sqlserver": "tsql"}
ROUNDS: dict[Action, int] = {"generate": 2, "explain": 1, "optimize": 0, "fix": 2}
"""Most calls of the chat model that an action makes."""
MAX_QUERY = 20_000
MAX_SCHEMA = 200_000
MAX_TABLES = 500
MAX_COLUMNS = 1_000
MAX_ALL_COLUMNS = 20_000
PROMPT_BYTES = 800
"""Of a prompt, besides the request: our own words."""
AGAIN_BYTES = 1_600
"""More of a second round: our words on what is wrong. The first answer comes twice, too."""
DEFAULT_ANSWER_TOKENS = 512

Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Shape(BaseModel):
    """Base of the parts of a schema that comes as JSON."""

    model_config = ConfigDict(extra="forbid")


class ColumnShape(Shape):
    """A column."""

    name: Name
    type: str = Field("", max_length=100)
    nullable: bool = True
    unique: bool = False
    primary_key: bool = False
    references: str | None = Field(None, max_length=257, pattern=r"^[^.]+\.[^.]+$")
    """`table.column`."""
    values: list[str] | None = Field(None, max_length=1_000)
    """All values that it can have, if they are few."""


class IndexShape(Shape):
    """An index that exists."""

    columns: list[Name] = Field(min_length=1, max_length=32)
    unique: bool = False


class TableShape(Shape):
    """A table. A column may be given by its name alone."""

    name: Name
    columns: list[ColumnShape] = Field(min_length=1, max_length=MAX_COLUMNS)
    indexes: list[IndexShape] = Field([], max_length=64)

    @field_validator("columns", mode="before")
    @classmethod
    def _named(cls, columns: Any) -> Any:
        if not isinstance(columns, list):
            return columns
        return [{"name": each} if isinstance(each, str) else each for each in columns]


class SchemaShape(Shape):
    """A schema as JSON."""

    tables: list[TableShape] = Field(min_length=1, max_length=MAX_TABLES)


class SqlRequest(BaseModel):
    """POST /v1/sql.

    The schema comes as text (CREATE statements, or lines like `users(id, email)`), as a JSON object
    of tables (`{"users": ["id", "email"]}`, `{"users": {"id": "bigint"}}`), or as `SchemaShape`.
    """

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    query: str = Field(min_length=1, max_length=MAX_QUERY)
    """What is wanted in words (generate), or the SQL (all others)."""
    action: Action = "generate"
    schema_: Annotated[
        str | SchemaShape | None,
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string", "maxLength": MAX_SCHEMA},
                    {"type": "object"},
                    {"type": "null"},
                ]
            }
        ),
    ] = Field(None, alias="schema")
    dialect: Dialect = "postgres"
    writes: bool = False
    """Whether `generate` may answer with statements that change data or tables."""

    @field_validator("query")
    @classmethod
    def _query_says_something(cls, query: str) -> str:
        if not query.strip():
            raise ValueError("must not be blank")
        return query

    @field_validator("dialect", mode="before")
    @classmethod
    def _by_any_name(cls, dialect: Any) -> Any:
        if not isinstance(dialect, str):
            return dialect
        lower = dialect.lower()
        return OTHER_NAMES.get(lower, lower)

    @field_validator("schema_", mode="plain")
    @classmethod
    def _read_schema(cls, schema: Any) -> str | SchemaShape | None:
        if schema is None or isinstance(schema, SchemaShape):
            return schema
        if isinstance(schema, str):
            if len(schema) > MAX_SCHEMA:
                raise ValueError(f"at most {MAX_SCHEMA:,} characters, got {len(schema):,}")
            return schema if schema.strip() else None
        if isinstance(schema, list):
            schema = {"tables": schema}
        if not isinstance(schema, dict):
            raise ValueError("must be text or an object of tables")  # noqa: TRY004 - pydantic's way
        return SchemaShape.model_validate(_bounded(_in_full(schema)))

    @property
    def rounds(self) -> int:
        """Most calls of the chat model that it may take."""
        return ROUNDS[self.action]


def _in_full(schema: dict[str, Any]) -> dict[str, Any]:
    """`{table: [column]}` and `{table: {column: type}}` in the form of `SchemaShape`."""
    if isinstance(schema.get("tables"), list):
        return schema
    return {
        "tables": [
            {"name": table, "columns": _columns_in_full(columns)}
            for table, columns in schema.items()
        ]
    }


def _bounded(schema: dict[str, Any]) -> dict[str, Any]:
    """The same, counted before it is looked at closely."""
    tables = [each for each in schema["tables"] if isinstance(each, dict)]
    columns = [each.get("columns") for each in tables]
    count = sum(len(each) for each in columns if isinstance(each, list))
    if count > MAX_ALL_COLUMNS:
        raise ValueError(f"at most {MAX_ALL_COLUMNS:,} columns in all, got {count:,}")
    return schema


def _columns_in_full(columns: Any) -> Any:
    if isinstance(columns, dict):
        return [
            {"name": name, "type": kind} if isinstance(kind, str) else kind
            for name, kind in columns.items()
        ]
    return columns


def estimate_sql(request: SqlRequest, card: ModelCard) -> WorkUnits:
    """Upper bound in tokens of every round with the chat model."""
    schema = request.schema_
    text = schema.model_dump_json() if isinstance(schema, SchemaShape) else schema or ""
    size = len(request.query.encode()) + len(text.encode()) + PROMPT_BYTES
    answer = card.max_output_tokens or DEFAULT_ANSWER_TOKENS
    first = size // BYTES_PER_TOKEN
    rounds = [first, first + AGAIN_BYTES // BYTES_PER_TOKEN + 2 * answer][: request.rounds]
    most = card.context_window or sum(rounds)
    return WorkUnits(
        input_tokens=sum(min(prompt, most) for prompt in rounds),
        output_tokens=answer * request.rounds,
    )
