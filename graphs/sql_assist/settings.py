"""Settings of SQL assist. The gateway reads them, too: nothing heavy is imported here.

Place in the path: `engine` of the graph's application in `serve_config.yaml`.
"""

from typing import Literal

from pydantic import Field

from core.model import Frozen
from core.sql import Dialect

INSTRUCTIONS = (
    "You write {dialect} queries. Use only tables and columns of the schema. Answer with one query"
    " and nothing else."
)


class SqlSettings(Frozen):
    """`engine` settings of an SQL assist graph."""

    name: str = "sql"
    """Name that answers carry."""
    chat: str
    """Id of the chat model that writes."""
    writes: Dialect | None = None
    """The dialect that the chat model writes, whatever is asked for: its answer is translated. The
    dialect that is asked for when None."""
    instructions: str = INSTRUCTIONS
    """The system message; `{dialect}` is the dialect's name."""
    schema_form: Literal["types", "names", "none"] = "types"
    """How much of the schema a prompt shows."""
    schema_characters: int = Field(8_000, ge=200)
    """Most of the schema that a prompt shows: the tables that fit the question best."""
    forced_json: bool = True
    """Whether the model is held to a JSON schema; it must support `response_format`."""
    summaries: bool = True
    """Whether `explain` asks the model for a sentence."""
