"""Weaviate's REST and GraphQL interfaces, as far as the store uses them.

GraphQL is read by a parser of the language. As strict as Weaviate where the store could be wrong:
properties that a class lacks, types of values, tenants that are not there, what one deletion takes.
"""

import uuid
from collections.abc import Callable
from typing import Any

from graphql import (
    BooleanValueNode,
    EnumValueNode,
    FieldNode,
    FloatValueNode,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    StringValueNode,
    ValueNode,
    parse,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.graphs.rag.fake_search import bm25, cosine

API_KEY = "wv-key-of-the-tests"
DELETED_AT_ONCE = 5
Object = dict[str, Any]
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "Equal": lambda have, want: want in have if isinstance(have, list) else have == want,
    "GreaterThan": lambda have, want: have > want,
    "GreaterThanEqual": lambda have, want: have >= want,
    "LessThan": lambda have, want: have < want,
    "LessThanEqual": lambda have, want: have <= want,
}
VALUES = {
    "text": "valueText",
    "text[]": "valueText",
    "number": "valueNumber",
    "int": "valueInt",
    "boolean": "valueBoolean",
}


class Refused(Exception):
    """An error: its status, and what it says."""


class FakeWeaviate:
    """One server; `application` is it."""

    def __init__(self) -> None:
        self.classes: dict[str, dict[str, Any]] = {}
        self.tenants: dict[str, dict[str, Object]] = {}
        self.broken: int | None = None
        class_ = "/v1/schema/{name}"
        self.application = Starlette(
            routes=[
                Route("/v1/schema", self._route(self.create), methods=["POST"]),
                Route(class_, self._route(self.describe)),
                Route(f"{class_}/properties", self._route(self.add), methods=["POST"]),
                Route(f"{class_}/tenants", self._route(self.drop), methods=["DELETE"]),
                Route("/v1/batch/objects", self._route(self.put), methods=["POST"]),
                Route("/v1/batch/objects", self._route(self.delete), methods=["DELETE"]),
                Route("/v1/graphql", self._route(self.query), methods=["POST"]),
            ]
        )

    def create(self, request: Request, asked: Any) -> Any:
        if asked["class"] in self.classes:
            raise Refused(422, "class name already exists")
        assert asked["class"][0].isupper()
        assert asked["multiTenancyConfig"]["enabled"]
        self.classes[asked["class"]] = asked | {"properties": list(asked["properties"])}
        return asked

    def describe(self, request: Request, asked: Any) -> Any:
        return self._class(request.path_params["name"])

    def add(self, request: Request, asked: Any) -> Any:
        class_ = self._class(request.path_params["name"])
        if asked["name"] in self._types(class_):
            raise Refused(422, "property already exists")
        class_["properties"].append(asked)
        return asked

    def drop(self, request: Request, asked: Any) -> Any:
        self._class(request.path_params["name"])
        for tenant in asked:
            self.tenants.pop(tenant, None)

    def put(self, request: Request, asked: Any) -> Any:
        return [self._put(each) for each in asked["objects"]]

    def _put(self, put: Any) -> Any:
        types = self._types(self._class(put["class"]))
        uuid.UUID(put["id"])
        for name in put["properties"]:
            if name not in types:
                message = f"no such prop with name '{name}'"
                return put | {"result": {"errors": {"error": [{"message": message}]}}}
        self.tenants.setdefault(put["tenant"], {})[put["id"]] = put
        return put | {"result": {"status": "SUCCESS"}}

    def delete(self, request: Request, asked: Any) -> Any:
        objects = self._objects(request.query_params["tenant"])
        class_ = self._class(asked["match"]["class"])
        gone = [
            key for key, o in objects.items() if self._holds(class_, o, asked["match"]["where"])
        ]
        for key in gone[:DELETED_AT_ONCE]:
            del objects[key]
        done = min(len(gone), DELETED_AT_ONCE)
        return {"results": {"matches": len(gone), "limit": DELETED_AT_ONCE, "successful": done}}

    def query(self, request: Request, asked: Any) -> Any:
        try:
            return {"data": self._query(asked["query"])}
        except Refused as refused:
            return {"data": None, "errors": [{"message": refused.args[1], "path": ["Get"]}]}

    def _query(self, text: str) -> Any:
        (operation,) = parse(text).definitions
        assert isinstance(operation, OperationDefinitionNode)
        (verb,) = operation.selection_set.selections
        assert isinstance(verb, FieldNode)
        assert verb.selection_set is not None
        (field,) = verb.selection_set.selections
        assert isinstance(field, FieldNode)
        arguments = {each.name.value: value_of(each.value) for each in field.arguments or ()}
        run = {"Get": self._get, "Aggregate": self._aggregate}[verb.name.value]
        return {verb.name.value: {field.name.value: run(self._class(field.name.value), arguments)}}

    def _aggregate(self, class_: Any, arguments: Any) -> Any:
        return [{"meta": {"count": len(self._objects(arguments["tenant"]))}}]

    def _get(self, class_: Any, arguments: Any) -> Any:
        objects = list(self._objects(arguments["tenant"]).values())
        if "nearVector" in arguments:
            wanted = arguments["nearVector"]["vector"]
            scored = [(cosine(o["vector"], wanted), o) for o in objects]
        else:
            (name,) = arguments["bm25"]["properties"]
            texts = [o["properties"][name] for o in objects]
            scores = bm25(texts, arguments["bm25"]["query"])
            scored = [(s, o) for s, o in zip(scores, objects, strict=True) if s]
        where = arguments.get("where")
        kept = [(s, o) for s, o in scored if where is None or self._holds(class_, o, where)]
        kept.sort(key=lambda pair: -pair[0])
        return [
            o["properties"] | {"_additional": {"distance": 1 - s, "score": str(s)}}
            for s, o in kept[: arguments["limit"]]
        ]

    def _holds(self, class_: Any, found: Object, where: Any) -> bool:
        if where["operator"] in ("And", "Or"):
            held = [self._holds(class_, found, each) for each in where["operands"]]
            return all(held) if where["operator"] == "And" else any(held)
        (name,) = where["path"]
        types = self._types(class_)
        if name not in types:
            raise Refused(422, f"no such prop with name '{name}' found in class")
        (key,) = where.keys() - {"path", "operator"}
        if key != VALUES[types[name]]:
            raise Refused(422, f"data type filter cannot use {key} on {types[name]}")
        have = found["properties"].get(name)
        return have is not None and COMPARISONS[where["operator"]](have, where[key])

    def _types(self, class_: Any) -> dict[str, str]:
        return {each["name"]: each["dataType"][0] for each in class_["properties"]}

    def _class(self, name: str) -> Any:
        if name not in self.classes:
            raise Refused(404, "class not found")
        return self.classes[name]

    def _objects(self, tenant: str) -> dict[str, Object]:
        if tenant not in self.tenants:
            raise Refused(422, f'tenant not found: "{tenant}"')
        return self.tenants[tenant]

    def _route(self, call: Callable[[Request, Any], Any]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            try:
                if request.headers.get("authorization") != f"Bearer {API_KEY}":
                    raise Refused(401, "anonymous access not enabled")
                if self.broken is not None:
                    raise Refused(self.broken, "broken")
                asked = await request.json() if await request.body() else None
                result = call(request, asked)
                return Response() if result is None else JSONResponse(result)
            except Refused as refused:
                status, message = refused.args
                return JSONResponse({"error": [{"message": message}]}, status)

        return answer


def value_of(node: ValueNode) -> Any:
    match node:
        case ObjectValueNode(fields=fields):
            return {each.name.value: value_of(each.value) for each in fields}
        case ListValueNode(values=values):
            return [value_of(each) for each in values]
        case IntValueNode(value=value):
            return int(value)
        case FloatValueNode(value=value):
            return float(value)
        case StringValueNode(value=value) | EnumValueNode(value=value):
            return value
        case BooleanValueNode(value=value):
            return value
    raise AssertionError(node)
