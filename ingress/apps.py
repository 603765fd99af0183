"""`/v1/apps`: components and apps made from descriptions, and reviews of code.

Place in the path: step 1, and after step 5, where what was made is kept for its tenant. The builder
itself is a model (`graphs.app_builder`) and knows nobody. Files, previews and deployments of what
is kept are `ingress.app_files` and `ingress.app_deployments`.
"""

from typing import Any

import orjson
from starlette.responses import Response

from auth.apps import App, AppBook
from auth.principal import Principal, Scope
from core.apps import AppRequest, ComponentRequest, ReviewRequest
from core.errors import Conflict, InvalidRequest
from ingress.accounts import timestamp
from ingress.app_deployments import AppDeployments
from ingress.catalog import Catalog
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.files import listing
from ingress.paging import page_of
from ingress.path import Answer, RequestPath
from ingress.queries import AppListQuery
from ingress.responses import answer_response, json_response

KINDS = ("component", "app")
FACTS = ("planner", "writer", "notes", "main", "plan")
MAX_REVIEW_BODY = 8 * 2**20
"""A review's megabyte of source, however its JSON is escaped."""


class AppEndpoints:
    """Handlers over the request path and the book of apps."""

    def __init__(
        self, path: RequestPath, catalog: Catalog, book: AppBook, deployments: AppDeployments
    ) -> None:
        self._path = path
        self._catalog = catalog
        self._book = book
        self._deployments = deployments

    def endpoints(self) -> list[Endpoint]:
        one = "/v1/apps/{app_id}"
        return [
            Endpoint(
                "POST",
                "/v1/apps/components",
                self.component,
                "Build a React or Vue component",
                ComponentRequest,
                status=201,
            ),
            Endpoint("POST", "/v1/apps", self.app, "Build an app", AppRequest, status=201),
            Endpoint(
                "POST",
                "/v1/apps/reviews",
                self.review,
                "Review code",
                ReviewRequest,
                max_body_bytes=MAX_REVIEW_BODY,
            ),
            Endpoint(
                "GET",
                "/v1/apps",
                self.list,
                "This tenant's components and apps",
                query=AppListQuery,
            ),
            Endpoint("GET", one, self.show, "One of them"),
            Endpoint("DELETE", one, self.delete, "Delete it, and undeploy it"),
        ]

    async def component(self, exchange: Exchange) -> Response:
        app, usage = await self.build(exchange, "component", await self._document(exchange))
        return json_response(app_object(app) | _contents(app) | {"usage": usage}, 201)

    async def app(self, exchange: Exchange) -> Response:
        app, usage = await self.build(exchange, "app", await self._document(exchange))
        return json_response(app_object(app) | _contents(app) | {"usage": usage}, 201)

    async def review(self, exchange: Exchange) -> Response:
        return answer_response(await self.reviewed(exchange, await self._document(exchange)))

    async def list(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        asked = page_of(exchange)
        kind = exchange.http.query_params.get("kind")
        if kind is not None and kind not in KINDS:
            raise InvalidRequest(f"'kind' must be one of {', '.join(KINDS)}", "kind")
        page = await self._book.page(
            principal.tenant_id, kind, asked.after, asked.limit, oldest_first=asked.oldest_first
        )
        data = [app_object(app) for app in page.items]
        return json_response(listing(data, has_more=page.has_more))

    async def show(self, exchange: Exchange) -> Response:
        app = await own_app(self._path, self._book, exchange)
        return json_response(app_object(app) | _paths(app))

    async def delete(self, exchange: Exchange) -> Response:
        app = await own_app(self._path, self._book, exchange)
        for blob in await self._book.delete(app.tenant_id, app.id):
            await self._deployments.drop(app.tenant_id, blob)
        return json_response({"id": app.id, "object": "app", "deleted": True})

    async def build(
        self, exchange: Exchange, operation: str, document: dict[str, Any]
    ) -> tuple[App, dict[str, Any]]:
        """Have it made, and keep it; the app, and what it took."""
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        call = exchange.call(self._catalog, operation, document)
        if not await self._book.has_room(principal.tenant_id):
            raise Conflict("this tenant has as many apps as it may: delete some first")
        answer = await self._path.answer(call, exchange.key, principal)
        made = orjson.loads(answer.body)
        kept = await self._keep(principal, call.model.card.id, document["description"], made)
        return kept, made["usage"]

    async def reviewed(self, exchange: Exchange, document: dict[str, Any]) -> Answer:
        """The builder's review, which nobody keeps."""
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        call = exchange.call(self._catalog, "review", document)
        return await self._path.answer(call, exchange.key, principal)

    async def _document(self, exchange: Exchange) -> dict[str, Any]:
        """The body, once it is known that somebody may send one."""
        await self._path.identify(exchange.key, Scope.INFERENCE)
        return await exchange.document()

    async def _keep(
        self, principal: Principal, model: str, description: str, made: dict[str, Any]
    ) -> App:
        return await self._book.add(
            principal.tenant_id,
            model=model,
            kind=made["kind"],
            name=made["name"],
            framework=made["framework"],
            description=description,
            facts={name: made[name] for name in FACTS},
            files={file["path"]: file["content"] for file in made["files"]},
            page=made["page"],
        )


async def own_app(path: RequestPath, book: AppBook, exchange: Exchange) -> App:
    """The caller's own app that the path names. Raises NotFound."""
    principal = await path.authorize(exchange.key, Scope.INFERENCE)
    return await book.find(principal.tenant_id, exchange.http.path_params["app_id"])


def app_object(app: App) -> dict[str, Any]:
    """An app as lists show it."""
    return {
        "id": app.id,
        "object": "app",
        "kind": app.kind,
        "name": app.name,
        "framework": app.framework,
        "description": app.description,
        "model": app.model,
        "bytes": app.bytes,
        "created_at": timestamp(app.created_at),
        **app.facts,
    }


def _paths(app: App) -> dict[str, Any]:
    sizes = ((path, len(text.encode())) for path, text in sorted(app.files.items()))
    return {"files": [{"path": path, "bytes": size} for path, size in sizes]}


def _contents(app: App) -> dict[str, Any]:
    files = sorted(app.files.items())
    return {"files": [{"path": path, "content": text} for path, text in files]}
