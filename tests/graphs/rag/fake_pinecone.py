"""Pinecone's HTTP interface of 2026-07, as far as the store uses it: an index of documents.

As strict as the documented one where the store could be wrong: the version header, fields that the
schema declares, limits of a request, operators of filters, namespaces that are not there.
"""

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.graphs.rag.fake_search import bm25, cosine, tokens

API_KEY = "pc-key-of-the-tests"
VERSION = "2026-07"
MAX_DOCUMENTS = 1_000
Document = dict[str, Any]
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda have, want: want in have if isinstance(have, list) else same(have, want),
    "$gt": lambda have, want: is_number(have) and have > want,
    "$gte": lambda have, want: is_number(have) and have >= want,
    "$lt": lambda have, want: is_number(have) and have < want,
    "$lte": lambda have, want: is_number(have) and have <= want,
}


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(have: Any, want: Any) -> bool:
    return isinstance(have, bool) == isinstance(want, bool) and bool(have == want)


class Refused(Exception):
    """An error of the API: its status, and what it says."""


class FakePinecone:
    """The control plane and one data plane; `application` is both."""

    def __init__(self) -> None:
        self.indexes: dict[str, dict[str, Any]] = {}
        self.namespaces: dict[str, dict[str, Document]] = {}
        self.url = ""
        self.broken: int | None = None
        documents = "/namespaces/{namespace}/documents"
        self.application = Starlette(
            routes=[
                Route("/indexes", self._route(self.create), methods=["POST"]),
                Route("/indexes/{name}", self._route(self.describe)),
                Route(f"{documents}/upsert", self._route(self.upsert), methods=["POST"]),
                Route(f"{documents}/search", self._route(self.search), methods=["POST"]),
                Route(f"{documents}/delete", self._route(self.delete), methods=["POST"]),
                Route("/namespaces/{namespace}", self._route(self.namespace)),
                Route("/namespaces/{namespace}", self._route(self.drop), methods=["DELETE"]),
            ]
        )

    def create(self, request: Request, asked: Any) -> Any:
        if asked["name"] in self.indexes:
            raise Refused(409, "ALREADY_EXISTS")
        self.indexes[asked["name"]] = asked
        return self._described(asked["name"])

    def describe(self, request: Request, asked: Any) -> Any:
        if request.path_params["name"] not in self.indexes:
            raise Refused(404, "NOT_FOUND")
        return self._described(request.path_params["name"])

    def upsert(self, request: Request, asked: Any) -> Any:
        documents = asked["documents"]
        if not 0 < len(documents) <= MAX_DOCUMENTS:
            raise Refused(400, "too many documents")
        for document in documents:
            if len(document["vector"]) != self._fields()["vector"]["dimension"]:
                raise Refused(400, "dimension")
            for name, value in document.items():
                check_value(name, value)
        space = self.namespaces.setdefault(request.path_params["namespace"], {})
        space.update({document["_id"]: document for document in documents})
        return {"upserted_count": len(documents)}

    def search(self, request: Request, asked: Any) -> Any:
        space = self._space(request)
        (by,) = asked["score_by"]
        documents = list(space.values())
        scores = self._scores(by, documents)
        kept = [
            (score, document)
            for score, document in zip(scores, documents, strict=True)
            if score is not None and matches(document, asked.get("filter"), self._fields())
        ]
        best = sorted(kept, key=lambda pair: -pair[0])[: asked["top_k"]]
        fields = asked.get("include_fields") or ()
        return {
            "matches": [
                {"_id": d["_id"], "_score": score} | {f: d[f] for f in fields if f in d}
                for score, d in best
            ],
            "namespace": request.path_params["namespace"],
            "usage": {"read_units": 1},
        }

    def delete(self, request: Request, asked: Any) -> Any:
        space = self._space(request)
        gone = [
            key
            for key, document in space.items()
            if matches(document, asked["filter"], self._fields())
        ]
        for key in gone:
            del space[key]
        return {"matched_records": len(gone)}

    def namespace(self, request: Request, asked: Any) -> Any:
        space = self._space(request)
        return {"name": request.path_params["namespace"], "record_count": len(space)}

    def drop(self, request: Request, asked: Any) -> Any:
        self._space(request)
        del self.namespaces[request.path_params["namespace"]]
        return {}

    def _scores(self, by: Any, documents: list[Document]) -> list[float | None]:
        fields = self._fields()
        if by["type"] == "dense_vector":
            assert fields[by["field"]]["type"] == "dense_vector"
            return [cosine(document[by["field"]], by["values"]) for document in documents]
        assert by["type"] == "text"
        (field,) = by["fields"]
        assert "full_text_search" in fields[field]
        found = bm25([tokens(document[field]) for document in documents], tokens(by["query"]))
        return [score or None for score in found]

    def _space(self, request: Request) -> dict[str, Document]:
        name = request.path_params["namespace"]
        if name not in self.namespaces:
            raise Refused(404, "Namespace not found")
        return self.namespaces[name]

    def _fields(self) -> dict[str, Any]:
        (index,) = self.indexes.values()
        fields: dict[str, Any] = index["schema"]["fields"]
        return fields

    def _described(self, name: str) -> dict[str, Any]:
        return self.indexes[name] | {
            "host": self.url,
            "status": {"ready": True, "state": "Ready"},
            "deletion_protection": "disabled",
        }

    def _route(self, call: Callable[[Request, Any], Any]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            try:
                if request.headers["api-key"] != API_KEY:
                    raise Refused(401, "UNAUTHENTICATED")
                if request.headers["x-pinecone-api-version"] != VERSION:
                    raise Refused(400, "version")
                if self.broken is not None:
                    raise Refused(self.broken, "broken")
                asked = await request.json() if await request.body() else None
                return JSONResponse(call(request, asked))
            except Refused as refused:
                status, message = refused.args
                error = {"code": message, "message": message}
                return JSONResponse({"error": error, "status": status}, status)

        return answer


def check_value(name: str, value: Any) -> None:
    """Metadata is text, numbers, true or false, or lists of text; no name begins with `$`."""
    if name == "vector":
        return
    if isinstance(value, list):
        fine = bool(value) and all(isinstance(each, str) for each in value)
    else:
        fine = isinstance(value, str | int | float | bool)
    if not fine or name.startswith("$"):
        raise Refused(400, f"field {name}")


def matches(document: Document, condition: Any, fields: dict[str, Any]) -> bool:
    if not condition:
        return True
    ((key, value),) = condition.items()
    if key == "$and":
        return all(matches(document, each, fields) for each in value)
    if key == "$or":
        return any(matches(document, each, fields) for each in value)
    if key in fields:
        raise Refused(400, "a data field takes no comparison")
    ((operator, wanted),) = value.items()
    return key in document and OPERATORS[operator](document[key], wanted)
