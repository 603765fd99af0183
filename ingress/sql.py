"""SQL assist over HTTP, and the older service's path.

Place in the path: step 1. Requests are the graph's own type and answers its own bytes; the alias
renames fields and nothing more.

    POST /v1/sql          {query, action, schema, dialect, writes}
    POST /ai/sql/assist   {query, action, schema}
"""

from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from auth.principal import Scope
from core.sql import MAX_QUERY, MAX_SCHEMA, Action, SqlRequest
from ingress.catalog import Catalog
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.path import RequestPath
from ingress.responses import answer_response, json_response

OPERATION = "assist"


class AssistRequest(BaseModel):
    """POST /ai/sql/assist."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(min_length=1, max_length=MAX_QUERY)
    action: Action = "generate"
    schema_: str | None = Field(None, max_length=MAX_SCHEMA, alias="schema")

    def as_sql(self) -> dict[str, Any]:
        """The same request in our own words. The older service wrote tables when asked to."""
        return {
            "query": self.query,
            "action": self.action,
            "schema": self.schema_,
            "writes": True,
        }


class SqlEndpoints:
    """Handlers over the request path."""

    def __init__(self, path: RequestPath, catalog: Catalog) -> None:
        self._path = path
        self._catalog = catalog

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("POST", "/v1/sql", self.assist, "SQL assist", SqlRequest),
            Endpoint("POST", "/ai/sql/assist", self.older, "Alias of SQL assist", AssistRequest),
        ]

    async def assist(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        call = exchange.call(self._catalog, OPERATION, await exchange.document())
        return answer_response(await self._path.answer(call, exchange.key, principal))

    async def older(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        request = await exchange.parse(AssistRequest)
        call = exchange.call(self._catalog, OPERATION, request.as_sql())
        answer = orjson.loads((await self._path.answer(call, exchange.key, principal)).body)
        return json_response(
            {
                "sql": None if request.action == "explain" else answer["sql"],
                "explanation": _one_text(answer),
                "suggestions": _suggestions(answer),
                "cached": exchange.headers.get("x-cache") == "HIT",
            }
        )


def _one_text(answer: dict[str, Any]) -> str | None:
    parts = [answer["summary"], *answer["explanation"]]
    return " ".join(part for part in parts if part) or None


def _suggestions(answer: dict[str, Any]) -> list[str] | None:
    """Everything that the older answer has no other place for."""
    advice = [
        f"{each['message']}: {each['sql']}" if each["sql"] else each["message"]
        for each in answer["suggestions"]
    ]
    errors = [error["message"] for error in answer["errors"]]
    return [*errors, *answer["changes"], *answer["warnings"], *advice] or None
