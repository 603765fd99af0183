"""SQL assist: questions to SQL, and SQL explained, improved and repaired, over one chat model.

Place in the path: a model to its callers; it calls the chat model as a step. What it answers is
parsed, held against the caller's schema, planned on an empty database, and told in plain words by
code. It never runs a caller's SQL on anybody's data, keeps nothing, and knows no tenant.
"""

import orjson

from core.model import CallContext, ModelSpec, Operation, Reply
from core.sql import SqlRequest, estimate_sql
from graphs.sql_assist.settings import SqlSettings
from graphs.step import Step


class SqlAssist:
    """The graph."""

    def __init__(self, settings: SqlSettings) -> None:
        from graphs.sql_assist.assistant import Assistant  # noqa: PLC0415 - the gateway needs no parser

        self.settings = settings
        self.chat = Step(settings.chat)
        self._assistant = Assistant(self.chat, settings)

    async def assist(self, request: SqlRequest, call: CallContext) -> Reply:
        """What the action found, as JSON. Raises InvalidRequest, or what the chat model raises."""
        found = await self._assistant.assist(request, call)
        usage = {
            "prompt_tokens": call.done.input_tokens,
            "completion_tokens": call.done.output_tokens,
            "total_tokens": call.done.tokens,
        }
        head = {
            "id": f"sql-{call.request_id}",
            "object": "sql.assistance",
            "model": self.settings.name,
        }
        return Reply(orjson.dumps(head | found | {"usage": usage}), call.done)


SPEC = ModelSpec(
    family="sql",
    model=SqlAssist,
    settings=SqlSettings,
    operations={"assist": Operation(method="assist", request=SqlRequest, estimate=estimate_sql)},
    options={"max_ongoing_requests": 32, "max_queued_requests": 256},
)
