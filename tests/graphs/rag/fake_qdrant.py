"""Qdrant's REST interface, over the local mode of its own client.

Requests and answers are those of Qdrant's OpenAPI document, by the models that its client has of
it: a field that a server would not know is an error here too.
"""

from typing import Any

from pydantic import TypeAdapter
from qdrant_client import AsyncQdrantClient, models
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

API_KEY = "key-of-the-tests"


class FakeQdrant:
    """One server; `application` is it."""

    def __init__(self) -> None:
        self.local = AsyncQdrantClient(location=":memory:")
        self.indexes: dict[str, Any] = {}
        self.calls: list[str] = []
        self.broken: int | None = None
        collection = "/collections/{name}"
        self.application = Starlette(
            routes=[
                Route(f"{collection}/exists", self.exists),
                Route(collection, self.create, methods=["PUT"]),
                Route(f"{collection}/index", self.index, methods=["PUT"]),
                Route(f"{collection}/points", self.upsert, methods=["PUT"]),
                Route(f"{collection}/points/query", self.query, methods=["POST"]),
                Route(f"{collection}/points/count", self.count, methods=["POST"]),
                Route(f"{collection}/points/delete", self.delete, methods=["POST"]),
            ]
        )

    async def exists(self, request: Request) -> Response:
        there = await self.local.collection_exists(self._name(request))
        return self._answer(request, {"exists": there})

    async def create(self, request: Request) -> Response:
        asked = models.CreateCollection.model_validate(await request.json())
        if await self.local.collection_exists(self._name(request)):
            return JSONResponse({"status": {"error": "already exists"}}, 409)
        assert isinstance(asked.vectors, dict)
        await self.local.create_collection(
            self._name(request),
            vectors_config=asked.vectors,
            sparse_vectors_config=asked.sparse_vectors,
        )
        return self._answer(request, True)

    async def index(self, request: Request) -> Response:
        asked = models.CreateFieldIndex.model_validate(await request.json())
        self.indexes[asked.field_name] = asked.field_schema
        return self._answer(request, {"operation_id": 1, "status": "completed"})

    async def upsert(self, request: Request) -> Response:
        asked = models.PointsList.model_validate(await request.json())
        await self.local.upsert(self._name(request), asked.points)
        return self._answer(request, {"operation_id": 1, "status": "completed"})

    async def query(self, request: Request) -> Response:
        asked = models.QueryRequest.model_validate(await request.json())
        found = await self.local.query_points(
            self._name(request),
            asked.query,
            using=asked.using,
            query_filter=asked.filter,
            limit=asked.limit or 10,
        )
        return self._answer(request, found.model_dump(mode="json"))

    async def count(self, request: Request) -> Response:
        asked = models.CountRequest.model_validate(await request.json())
        found = await self.local.count(self._name(request), asked.filter)
        return self._answer(request, found.model_dump(mode="json"))

    async def delete(self, request: Request) -> Response:
        selector: Any = TypeAdapter(models.PointsSelector).validate_python(await request.json())
        await self.local.delete(self._name(request), selector)
        return self._answer(request, {"operation_id": 1, "status": "completed"})

    def _name(self, request: Request) -> str:
        name: str = request.path_params["name"]
        return name

    def _answer(self, request: Request, result: Any) -> Response:
        self.calls.append(f"{request.method} {request.url.path}")
        if request.headers.get("api-key") != API_KEY:
            return JSONResponse({"status": {"error": "Must provide an API key"}}, 401)
        if self.broken is not None:
            return JSONResponse({"status": {"error": "broken"}}, self.broken)
        return JSONResponse({"result": result, "status": "ok", "time": 0.001})
