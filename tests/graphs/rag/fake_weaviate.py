"""A Weaviate server of the tests: what it holds, and its REST interface about classes.

Passages go by gRPC (`fake_weaviate_grpc`). As strict as Weaviate where the store could be wrong:
what a class may say, keys, tenants, names of properties.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

API_KEY = "wv-key-of-the-tests"
VERSION = "1.34.0"
TEXTS, RANGED = ("text", "text[]"), ("int", "number")
KINDS = (*TEXTS, *RANGED, "boolean")
CLASS = {
    "class",
    "properties",
    "vectorConfig",
    "invertedIndexConfig",
    "multiTenancyConfig",
}
PROPERTY = {
    "name",
    "dataType",
    "tokenization",
    "indexFilterable",
    "indexSearchable",
    "indexRangeFilters",
}
IGNORED = {"vectorize_property_name", "skip_vectorization", "moduleConfig"}
"""What the client says besides, and Weaviate does not read."""
HNSW = {
    "cleanupIntervalSeconds": 300,
    "dynamicEfMin": 100,
    "dynamicEfMax": 500,
    "dynamicEfFactor": 8,
    "ef": -1,
    "efConstruction": 128,
    "filterStrategy": "sweeping",
    "flatSearchCutoff": 40000,
    "maxConnections": 32,
    "skip": False,
    "vectorCacheMaxObjects": 1000000000000,
}
"""What Weaviate adds to an index that says only its distance."""


class Refused(Exception):
    """An error: its status, and what it says."""


@dataclass
class Kept:
    """One object."""

    properties: dict[str, Any]
    vectors: dict[str, tuple[float, ...]]


@dataclass
class Class:
    """One class: its schema, and the objects of each tenant, by id."""

    schema: dict[str, Any]
    tenants: dict[str, dict[str, Kept]] = field(default_factory=dict)

    def property(self, name: str) -> dict[str, Any]:
        properties: dict[str, dict[str, Any]] = {p["name"]: p for p in self.schema["properties"]}
        if name not in properties:
            raise Refused(422, f"no such prop with name '{name}' found in class")
        return properties[name]

    def tenant(self, name: str) -> dict[str, Kept]:
        if name not in self.tenants:
            raise Refused(422, f'explorer: get class: tenant not found: "{name}"')
        return self.tenants[name]


class FakeWeaviate:
    """One server; `application` is its REST half."""

    def __init__(self) -> None:
        self.classes: dict[str, Class] = {}
        self.broken: int | None = None
        self.rpc_fails: Any = None
        """The status of gRPC that every call gets, if any."""
        class_ = "/v1/schema/{name}"
        self.application = Starlette(
            routes=[
                Route("/v1/meta", self._route(self.meta)),
                Route("/v1/schema", self._route(self.create), methods=["POST"]),
                Route(class_, self._route(self.describe)),
                Route(f"{class_}/properties", self._route(self.add), methods=["POST"]),
                Route(f"{class_}/tenants", self._route(self.drop), methods=["DELETE"]),
            ]
        )

    def meta(self, request: Request, asked: Any) -> Any:
        return {"version": VERSION, "grpcMaxMessageSize": 10_000_000, "modules": {}}

    def create(self, request: Request, asked: Any) -> Any:
        _only(asked, CLASS)
        if asked["class"] in self.classes:
            raise Refused(422, "class name already exists")
        assert asked["class"][0].isupper()
        assert asked["multiTenancyConfig"] == {
            "enabled": True,
            "autoTenantCreation": True,
            "autoTenantActivation": True,
        }
        for index in asked["vectorConfig"].values():
            assert index["vectorizer"] == {"none": {}}
            index["vectorIndexConfig"] = HNSW | index["vectorIndexConfig"]
        properties = [_property(each) for each in asked["properties"]]
        self.classes[asked["class"]] = Class(asked | {"properties": properties})
        return asked

    def describe(self, request: Request, asked: Any) -> Any:
        return self.class_(request.path_params["name"]).schema

    def add(self, request: Request, asked: Any) -> Any:
        class_ = self.class_(request.path_params["name"])
        new = _property(asked)
        if new["name"].lower() in {each["name"].lower() for each in class_.schema["properties"]}:
            raise Refused(422, f"conflict for property '{new['name']}': already in use")
        class_.schema["properties"].append(new)
        return new

    def drop(self, request: Request, asked: Any) -> Any:
        class_ = self.class_(request.path_params["name"])
        for tenant in asked:
            class_.tenants.pop(tenant, None)

    def class_(self, name: str) -> Class:
        if name not in self.classes:
            raise Refused(404, "class not found")
        return self.classes[name]

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


def _property(asked: dict[str, Any]) -> dict[str, Any]:
    """With what Weaviate adds; refused as Weaviate refuses it."""
    # Of modules that make vectors, and there is none.
    assert asked.get("moduleConfig", {}).keys() <= {"none"}
    asked = {key: value for key, value in asked.items() if key not in IGNORED}
    _only(asked, PROPERTY)
    assert re.fullmatch("[_A-Za-z][_0-9A-Za-z]{0,230}", asked["name"])
    (kind,) = asked["dataType"]
    assert kind in KINDS
    text = kind in TEXTS
    if asked.get("tokenization") and not text:
        raise Refused(422, f"tokenization is not allowed for data type '{kind}'")
    if asked.get("indexSearchable") and not text:
        raise Refused(422, "indexSearchable is allowed only for text/text[] data types")
    if asked.get("indexRangeFilters") and kind not in RANGED:
        raise Refused(422, "indexRangeFilters is allowed only for number/int/date data types")
    defaults = {"indexFilterable": True, "indexSearchable": text, "indexRangeFilters": False}
    return defaults | ({"tokenization": "word"} if text else {}) | asked


def _only(asked: dict[str, Any], names: set[str]) -> None:
    assert not asked.keys() - names, f"not of this fake: {asked.keys() - names}"
