"""The gRPC half of the tests' Weaviate, in the messages that the official client speaks.

Strict: a field that is asked for and not served here ends the call, and with it the test. Vectors
are compared, and words counted token by token as Weaviate does: no stems, case as the property's
tokenization says.
"""

import struct
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.message import Message
from weaviate.proto.v1 import (
    aggregate_pb2,
    base_pb2,
    batch_delete_pb2,
    batch_pb2,
    properties_pb2,
    search_get_pb2,
    weaviate_pb2_grpc,
)

from tests.graphs.rag.fake_search import bm25, cosine
from tests.graphs.rag.fake_weaviate import API_KEY, Class, FakeWeaviate, Kept, Refused

DELETED_AT_ONCE = 5
SINGLE = base_pb2.Vectors.VECTOR_TYPE_SINGLE_FP32
JOINTS: dict[int, Callable[[list[bool]], bool]] = {
    base_pb2.Filters.OPERATOR_AND: all,
    base_pb2.Filters.OPERATOR_OR: any,
}
COMPARISONS: dict[int, Callable[[Any, Any], bool]] = {
    base_pb2.Filters.OPERATOR_EQUAL: lambda have, want: (
        want in have if isinstance(have, list) else have == want
    ),
    base_pb2.Filters.OPERATOR_GREATER_THAN: lambda have, want: have > want,
    base_pb2.Filters.OPERATOR_GREATER_THAN_EQUAL: lambda have, want: have >= want,
    base_pb2.Filters.OPERATOR_LESS_THAN: lambda have, want: have < want,
    base_pb2.Filters.OPERATOR_LESS_THAN_EQUAL: lambda have, want: have <= want,
}
ASKED_AS = {
    "text": "value_text",
    "text[]": "value_text",
    "number": "value_number",
    "int": "value_int",
    "boolean": "value_boolean",
}
"""The field of a filter that holds a value for a property of each type."""
PYTHON: dict[str, Any] = {
    "text": str,
    "text[]": list,
    "number": float,
    "int": float,
    "boolean": bool,
}
"""What a property of each type is when it arrives."""


class Servicer(weaviate_pb2_grpc.WeaviateServicer):
    """`weaviate.v1.Weaviate`, over a fake's objects."""

    def __init__(self, fake: FakeWeaviate) -> None:
        self.fake = fake

    async def Search(self, request, context):  # noqa: N802
        return await self._answer(context, lambda: self._search(request))

    async def BatchObjects(self, request, context):  # noqa: N802
        return await self._answer(context, lambda: self._put(request))

    async def BatchDelete(self, request, context):  # noqa: N802
        return await self._answer(context, lambda: self._delete(request))

    async def Aggregate(self, request, context):  # noqa: N802
        return await self._answer(context, lambda: self._aggregate(request))

    async def _answer(self, context, call: Callable[[], Message]) -> Message:
        if ("authorization", f"Bearer {API_KEY}") not in context.invocation_metadata():
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "anonymous access not enabled")
        if self.fake.rpc_fails is not None:
            await context.abort(self.fake.rpc_fails, "broken")
        try:
            return call()
        except Refused as refused:
            await context.abort(grpc.StatusCode.UNKNOWN, refused.args[1])
            raise

    def _search(self, request: search_get_pb2.SearchRequest) -> search_get_pb2.SearchReply:
        only(
            request,
            *("collection", "tenant", "limit", "filters", "properties", "metadata"),
            *("near_vector", "bm25_search"),
            *("uses_123_api", "uses_125_api", "uses_127_api"),
        )
        only(request.metadata, "uuid", "distance", "score")
        only(request.properties, "non_ref_properties")
        class_ = self.fake.class_(request.collection)
        objects = list(class_.tenant(request.tenant).items())
        if request.HasField("near_vector"):
            scored = self._near(class_, objects, request.near_vector)
        else:
            scored = self._worded(class_, objects, request.bm25_search)
        if request.HasField("filters"):
            scored = [each for each in scored if holds(class_, each[2], request.filters)]
        scored.sort(key=lambda each: -each[0])
        return search_get_pb2.SearchReply(
            results=[self._result(class_, request, *each) for each in scored[: request.limit]]
        )

    def _near(self, class_: Class, objects, near) -> list[tuple[float, str, Kept]]:
        only(near, "vectors", "targets")
        only(near.targets, "target_vectors")
        (name,) = near.targets.target_vectors
        (vector,) = near.vectors
        only(vector, "vector_bytes", "type")
        assert vector.type == SINGLE
        if name not in class_.schema["vectorConfig"]:
            raise Refused(422, f"class does not have a target vector {name}")
        wanted = floats(vector.vector_bytes)
        for _, kept in objects:
            if len(kept.vectors[name]) != len(wanted):
                raise Refused(422, "vector lengths don't match")
        return [(cosine(kept.vectors[name], wanted), key, kept) for key, kept in objects]

    def _worded(self, class_: Class, objects, search) -> list[tuple[float, str, Kept]]:
        only(search, "query", "properties")
        (name,) = search.properties
        property_ = class_.property(name)
        if not property_["indexSearchable"]:
            raise Refused(422, f"property '{name}' is not indexed for searching")
        assert property_["tokenization"] == "whitespace"
        assert class_.schema["invertedIndexConfig"]["stopwords"]["preset"] == "none"
        texts = [kept.properties[name].split() for _, kept in objects]
        scores = bm25(texts, search.query.split())
        return [(s, key, kept) for s, (key, kept) in zip(scores, objects, strict=True) if s]

    def _result(self, class_: Class, request, score: float, key: str, kept: Kept):
        metadata = search_get_pb2.MetadataResult(id=key, id_as_bytes=uuid.UUID(key).bytes)
        if request.HasField("near_vector"):
            metadata.distance = 1 - score
            metadata.distance_present = request.metadata.distance
        else:
            metadata.score = score
            metadata.score_present = request.metadata.score
        fields = {
            name: value_of(class_.property(name)["dataType"][0], kept.properties.get(name))
            for name in request.properties.non_ref_properties
        }
        return search_get_pb2.SearchResult(
            metadata=metadata,
            properties=search_get_pb2.PropertiesResult(
                non_ref_props=properties_pb2.Properties(fields=fields),
                target_collection=request.collection,
            ),
        )

    def _put(self, request: batch_pb2.BatchObjectsRequest) -> batch_pb2.BatchObjectsReply:
        only(request, "objects")
        errors = []
        for place, each in enumerate(request.objects):
            try:
                self._put_one(each)
            except Refused as refused:
                errors.append(
                    batch_pb2.BatchObjectsReply.BatchError(index=place, error=refused.args[1])
                )
        return batch_pb2.BatchObjectsReply(errors=errors)

    def _put_one(self, put: batch_pb2.BatchObject) -> None:
        only(put, "uuid", "collection", "tenant", "properties", "vectors")
        only(put.properties, "non_ref_properties", "text_array_properties")
        class_ = self.fake.class_(put.collection)
        (vector,) = put.vectors
        assert vector.type == SINGLE
        if vector.name not in class_.schema["vectorConfig"]:
            raise Refused(422, f"class does not have a target vector {vector.name}")
        properties: dict[str, Any] = dict(put.properties.non_ref_properties.items())
        for each in put.properties.text_array_properties:
            properties[each.prop_name] = list(each.values)
        for name, value in properties.items():
            (kind,) = class_.property(name)["dataType"]
            if not isinstance(value, PYTHON[kind]) or (kind == "int" and value % 1):
                raise Refused(422, f"invalid {kind} property '{name}'")
        vectors = {vector.name: floats(vector.vector_bytes)}
        key = str(uuid.UUID(put.uuid))
        class_.tenants.setdefault(put.tenant, {})[key] = Kept(properties, vectors)

    def _delete(
        self, request: batch_delete_pb2.BatchDeleteRequest
    ) -> batch_delete_pb2.BatchDeleteReply:
        only(request, "collection", "tenant", "filters")
        class_ = self.fake.class_(request.collection)
        objects = class_.tenant(request.tenant)
        gone = [key for key, kept in objects.items() if holds(class_, kept, request.filters)]
        for key in gone[:DELETED_AT_ONCE]:
            del objects[key]
        return batch_delete_pb2.BatchDeleteReply(
            matches=len(gone), successful=min(len(gone), DELETED_AT_ONCE)
        )

    def _aggregate(self, request: aggregate_pb2.AggregateRequest) -> aggregate_pb2.AggregateReply:
        only(request, "collection", "tenant", "objects_count")
        objects = self.fake.class_(request.collection).tenant(request.tenant)
        return aggregate_pb2.AggregateReply(
            single_result=aggregate_pb2.AggregateReply.Single(objects_count=len(objects))
        )


def holds(class_: Class, kept: Kept, condition: base_pb2.Filters) -> bool:
    if condition.operator in JOINTS:
        only(condition, "operator", "filters")
        assert len(condition.filters) > 1
        return JOINTS[condition.operator]([holds(class_, kept, each) for each in condition.filters])
    only(condition.target, "property")
    property_ = class_.property(condition.target.property)
    (kind,) = property_["dataType"]
    given = condition.WhichOneof("test_value")
    if given != ASKED_AS[kind]:
        raise Refused(422, f"data type filter cannot use {given} on {kind}")
    if not property_["indexFilterable"] and not property_["indexRangeFilters"]:
        raise Refused(422, f"property '{property_['name']}' is not indexed for filtering")
    have, want = kept.properties.get(property_["name"]), getattr(condition, given)
    if property_.get("tokenization") == "field":
        have, want = trimmed(have), trimmed(want)
    return have is not None and COMPARISONS[condition.operator](have, want)


def trimmed(value: Any) -> Any:
    """As the whole value of a field is indexed."""
    if isinstance(value, list):
        return [each.strip() for each in value]
    return value.strip() if isinstance(value, str) else value


def value_of(kind: str, value: Any) -> properties_pb2.Value:
    match kind:
        case "text":
            return properties_pb2.Value(text_value=value)
        case "int":
            return properties_pb2.Value(int_value=int(value))
    raise Refused(422, f"{kind} is not served")


def floats(packed: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(packed) // 4}f", packed)


def only(message: Message, *names: str) -> None:
    given = {descriptor.name for descriptor, _ in message.ListFields()}
    assert given <= set(names), f"not of this fake: {given - set(names)}"


@asynccontextmanager
async def served_grpc(fake: FakeWeaviate) -> AsyncIterator[str]:
    """Serve it on a port of loopback; the URL."""
    server = grpc.aio.server()
    weaviate_pb2_grpc.add_WeaviateServicer_to_server(Servicer(fake), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.stop(None)
