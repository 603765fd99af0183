"""The paths of the AI-as-a-service API that Carillon succeeds, as thin aliases.

Place in the path: step 1 for older clients. Each alias translates field names and calls the same
handler as the canonical route; nothing is decided here.

    POST /ai/generate        POST /v1/chat/completions
    GET  /ai/models          GET  /v1/models
    GET  /usage              GET  /v1/usage
    POST /auth/create-key    POST /v1/api-keys
    POST /auth/verify-key    POST /v1/api-keys/verify
    GET  /admin/stats        GET  /v1/admin/stats
    POST /admin/cache/clear  POST /v1/admin/cache/clear
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from auth.accounts import MAX_POSTGRES_INTEGER, PlainText
from auth.principal import Scope
from ingress.accounts import Accounts, KeyRequest, VerifyRequest, issued_object
from ingress.administration import Administration, ClearRequest
from ingress.catalog import Catalog
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.openai import OpenAI
from ingress.path import RequestPath
from ingress.queries import PeriodQuery
from ingress.responses import json_response
from ingress.usage import UsageEndpoints


class GenerateRequest(BaseModel):
    """POST /ai/generate."""

    model_config = ConfigDict(extra="forbid")

    prompt: str = Field(min_length=1)
    model: str | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1, le=10_000_000)

    def as_chat(self) -> dict[str, Any]:
        """The same request in the chat dialect."""
        fields = self.model_dump(exclude={"prompt"}, exclude_none=True)
        return fields | {"messages": [{"role": "user", "content": self.prompt}]}


class CreateKeyRequest(BaseModel):
    """POST /auth/create-key."""

    model_config = ConfigDict(extra="forbid")

    key_name: PlainText = "default"
    tenant_id: PlainText | None = None
    user_id: PlainText | None = None
    tier: PlainText | None = None
    quota_requests_per_hour: int | None = Field(None, gt=0, le=MAX_POSTGRES_INTEGER)
    expires_in_days: int | None = Field(None, ge=1, le=3650)

    def as_key_request(self) -> KeyRequest:
        """The same request in our own words."""
        ends = None
        if self.expires_in_days is not None:
            ends = datetime.now(UTC) + timedelta(days=self.expires_in_days)
        return KeyRequest(
            name=self.key_name,
            tenant_id=self.tenant_id,
            user_id=self.user_id,
            tier=self.tier,
            requests_per_hour=self.quota_requests_per_hour,
            expires_at=ends,
        )


class Aliases:
    """Handlers that translate and pass on."""

    def __init__(
        self,
        path: RequestPath,
        catalog: Catalog,
        openai: OpenAI,
        accounts: Accounts,
        usage: UsageEndpoints,
        administration: Administration,
    ) -> None:
        self._path = path
        self._catalog = catalog
        self._openai = openai
        self._accounts = accounts
        self._usage = usage
        self._administration = administration

    def endpoints(self) -> list[Endpoint]:
        clear = self._administration.clear
        return [
            Endpoint("POST", "/ai/generate", self.generate, "Alias of chat", GenerateRequest),
            Endpoint("GET", "/ai/models", self._openai.models, "Alias of /v1/models"),
            Endpoint("GET", "/usage", self._usage.show, "Alias of /v1/usage", query=PeriodQuery),
            Endpoint(
                "POST",
                "/auth/create-key",
                self.create_key,
                "Alias",
                CreateKeyRequest,
                shown_once=True,
            ),
            Endpoint("POST", "/auth/verify-key", self._accounts.verify, "Alias", VerifyRequest),
            Endpoint("GET", "/admin/stats", self._administration.stats, "Alias", query=PeriodQuery),
            Endpoint("POST", "/admin/cache/clear", clear, "Alias", ClearRequest),
        ]

    async def generate(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        request = await exchange.parse(GenerateRequest)
        call = exchange.call(self._catalog, "chat", request.as_chat())
        answer = await self._path.answer(call, exchange.key, principal)
        completion = orjson.loads(answer.body)
        usage = completion["usage"]
        return json_response(
            {
                "response": completion["choices"][0]["message"]["content"],
                "model": completion["model"],
                "usage": {
                    name: usage[name]
                    for name in ("prompt_tokens", "completion_tokens", "total_tokens")
                },
                "cached": exchange.headers.get("x-cache") == "HIT",
                "response_time_ms": call.elapsed_ms(),
            }
        )

    async def create_key(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.KEYS)
        request = (await exchange.parse(CreateKeyRequest)).as_key_request()
        key = issued_object(await self._accounts.issue(principal, request))
        return json_response(
            {
                "api_key": key["key"],
                "key_id": key["id"],
                "key_name": key["name"],
                "tenant_id": key["tenant_id"],
                "tier": key["tier"],
                "quota_requests_per_hour": key["requests_per_hour"],
                "created_at": key["created_at"],
                "expires_at": key["expires_at"],
            },
            201,
        )
