"""The app builder's paths of the API that Carillon succeeds, as thin aliases.

Place in the path: step 1 for older clients. Each translates field names and calls the same code as
the canonical route.

    POST /nexusai/generate-component   POST /v1/apps/components
    POST /nexusai/generate-app         POST /v1/apps
    POST /nexusai/review-code          POST /v1/apps/reviews
    POST /nexusai/deploy               POST /v1/apps/{app_id}/deployments
"""

from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from auth.accounts import PlainText
from auth.apps import App
from auth.principal import Scope
from core.apps import MAX_SOURCE, Description, Dialect, Framework
from ingress.app_deployments import AppDeployments
from ingress.apps import AppEndpoints
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.path import RequestPath
from ingress.responses import json_response

ENDS = {
    "javascript": "js",
    "jsx": "jsx",
    "react": "jsx",
    "typescript": "ts",
    "tsx": "tsx",
    "vue": "vue",
    "html": "html",
    "css": "css",
    "json": "json",
    "sql": "sql",
    "python": "py",
}
SCHEMA_PATH = "database/schema.sql"


class GenerateComponentRequest(BaseModel):
    """POST /nexusai/generate-component."""

    model_config = ConfigDict(extra="forbid")

    description: Description
    framework: Framework = "react"
    name: str | None = None
    model: str | None = None


class GenerateAppRequest(BaseModel):
    """POST /nexusai/generate-app."""

    model_config = ConfigDict(extra="forbid")

    description: Description
    framework: Framework = "react"
    name: str | None = None
    database: Dialect = "postgresql"
    model: str | None = None


class ReviewCodeRequest(BaseModel):
    """POST /nexusai/review-code."""

    model_config = ConfigDict(extra="forbid")

    code: str = Field(min_length=1, max_length=MAX_SOURCE)
    language: str = Field("javascript", pattern=f"^({'|'.join(ENDS)})$")
    model: str | None = None

    def as_review(self) -> dict[str, Any]:
        """The same request in our own words."""
        path = f"code.{ENDS[self.language]}"
        return {"model": self.model, "files": [{"path": path, "content": self.code}]}


class DeployRequest(BaseModel):
    """POST /nexusai/deploy."""

    model_config = ConfigDict(extra="forbid")

    app_id: PlainText


class AppAliases:
    """Handlers that translate and pass on."""

    def __init__(self, path: RequestPath, apps: AppEndpoints, deployments: AppDeployments) -> None:
        self._path = path
        self._apps = apps
        self._deployments = deployments

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "POST",
                "/nexusai/generate-component",
                self.component,
                "Alias of building a component",
                GenerateComponentRequest,
            ),
            Endpoint(
                "POST",
                "/nexusai/generate-app",
                self.app,
                "Alias of building an app",
                GenerateAppRequest,
            ),
            Endpoint(
                "POST",
                "/nexusai/review-code",
                self.review,
                "Alias of reviewing code",
                ReviewCodeRequest,
            ),
            Endpoint("POST", "/nexusai/deploy", self.deploy, "Alias of deploying", DeployRequest),
        ]

    async def component(self, exchange: Exchange) -> Response:
        await self._path.identify(exchange.key, Scope.INFERENCE)
        request = await exchange.parse(GenerateComponentRequest)
        app, _ = await self._apps.build(exchange, "component", request.model_dump())
        return json_response(_told(app) | {"component": app.files[app.facts["main"]]})

    async def app(self, exchange: Exchange) -> Response:
        await self._path.identify(exchange.key, Scope.INFERENCE)
        request = await exchange.parse(GenerateAppRequest)
        app, _ = await self._apps.build(exchange, "app", request.model_dump())
        told = {"app_id": app.id, "database_schema": app.files.get(SCHEMA_PATH)}
        return json_response(_told(app) | told)

    async def review(self, exchange: Exchange) -> Response:
        await self._path.identify(exchange.key, Scope.INFERENCE)
        request = await exchange.parse(ReviewCodeRequest)
        review = orjson.loads((await self._apps.reviewed(exchange, request.as_review())).body)
        names = ("severity", "rule", "line", "column", "message")
        issues = [{name: each[name] for name in names} for each in review["findings"]]
        told = {"success": True, "issues": issues, "summary": review["summary"]}
        return json_response(told | {"model": review["model"]})

    async def deploy(self, exchange: Exchange) -> Response:
        await self._path.identify(exchange.key, Scope.INFERENCE)
        request = await exchange.parse(DeployRequest)
        told, _ = await self._deployments.deployed(exchange, request.app_id)
        names = ("app_id", "status", "url")
        kept = {name: told[name] for name in names}
        return json_response({"success": True, "deployment_id": told["id"], **kept})


def _told(app: App) -> dict[str, Any]:
    """What both generators of the older API answer."""
    return {
        "success": True,
        "id": app.id,
        "name": app.name,
        "framework": app.framework,
        "files": app.files,
        "planner": app.facts["planner"],
        "preview_url": f"/v1/apps/{app.id}/preview",
    }
