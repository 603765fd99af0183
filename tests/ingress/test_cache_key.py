"""The cache key: any field that can change an answer changes it, of every operation there is."""

import base64
import importlib
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from core.chat import ChatRequest
from core.model import ModelCard, ModelSpec, Operation
from core.settings import ROOT
from ingress.cache_key import cache_key
from tests.core.test_pictures import encoded as picture
from tests.deployments.sounds import encoded as sound
from tests.deployments.sounds import tone

CARD = ModelCard(id="m", spec="deployments.echo:SPEC")
BASE = {"messages": [{"role": "user", "content": "hello"}]}

CHANGES = st.sampled_from(
    [
        {"messages": [{"role": "user", "content": "hello "}]},
        {"messages": [{"role": "system", "content": "hello"}]},
        {"messages": [{"role": "user", "content": "hello", "name": "ann"}]},
        {"temperature": 0.0},
        {"temperature": 1.0},
        {"top_p": 0.5},
        {"seed": 1},
        {"n": 2},
        {"stop": "x"},
        {"stop": ["x"]},
        {"max_tokens": 5},
        {"max_completion_tokens": 5},
        {"stream": True},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"tool_choice": "none"},
        {"response_format": {"type": "json_object"}},
        {"logprobs": True},
        {"user": "ann"},
        {"top_k": 4},
        {"logit_bias": {"1": 1.0}},
    ]
)


def key(fields, card=CARD, operation="chat"):
    return cache_key(card, operation, ChatRequest.model_validate(BASE | fields))


@given(CHANGES, CHANGES)
def test_different_requests_have_different_keys_and_equal_ones_the_same(one, other):
    assert (key(one) == key(other)) == (one == other)
    assert key(one) != key({})


def test_model_revision_and_operation_are_part_of_the_key():
    revised = CARD.model_copy(update={"revision": "2"})
    other = CARD.model_copy(update={"id": "n"})
    assert len({key({}), key({}, revised), key({}, other), key({}, operation="completion")}) == 4


def test_an_alias_and_its_model_share_entries():
    assert key({"model": "alias"}) == key({"model": "m"}) == key({})


def specs() -> dict[str, ModelSpec]:
    """Every family of models and every graph, by the name of its module."""
    files = sorted([*(ROOT / "deployments").rglob("*.py"), *(ROOT / "graphs").rglob("*.py")])
    modules = [
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for file in files
        if "\nSPEC = " in file.read_text()
    ]
    return {module: importlib.import_module(module).SPEC for module in modules}


OPERATIONS = {
    f"{family} {name}": operation
    for family, spec in specs().items()
    for name, operation in spec.operations.items()
    if operation.cacheable
}
PICTURES = [base64.b64encode(picture("PNG", (side, side))).decode() for side in (64, 72)]
SOUNDS = [base64.b64encode(sound(tone(seconds), "wav")).decode() for seconds in (0.1, 0.2)]
SERIES = [[float(1 + (n * step) % 7) for n in range(70)] for step in (2, 3)]
KINDS = [
    {"kind": "transaction", "features": {"amount": 1.0}},
    {"kind": "network", "features": {"bytes_out": 1.0, "bytes_in": 1.0}},
]
FILES = [[{"path": "a.js", "content": text}] for text in ("a();", "b();")]
BASES: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "hello"}]},
    "completion": {"prompt": "hello"},
    "embed": {"input": "hello"},
    "rerank": {"query": "hello", "documents": ["a", "b"]},
    "forecast": {"symbol": "BTC"},
    "history": {"symbol": "BTC"},
    "risk": {"symbol": "BTC"},
    "sentiment": {"symbol": "BTC", "texts": ["up"]},
    "analyse": KINDS[0],
    "generate": {"prompt": "a circle"},
    "edit": {"prompt": "a circle", "image": PICTURES[0]},
    "variation": {"image": PICTURES[0]},
    "speak": {"input": "hello"},
    "voices": {},
    "transcribe": {"file": SOUNDS[0]},
    "translate": {"file": SOUNDS[0]},
    "animate": {"prompt": "a circle"},
    "describe": {"image": PICTURES[0]},
    "search": {"query": "hello", "tenant": "t-1"},
    "answer": {"query": "hello", "tenant": "t-1"},
    "graphs.rag.graph chat": {"messages": [{"role": "user", "content": "hello"}], "tenant": "t-1"},
    "converse": {"text": "hello"},
    "assist": {"query": "hello"},
    "component": {"description": "a table of books"},
    "app": {"description": "a table of books"},
    "review": {"files": FILES[0]},
    "insights": {"symbol": "BTC"},
    "image_workflow": {"prompt": "a circle"},
}
"""A request of each operation, by its name or by its module's and its name."""
VALUES: list[Any] = [
    *(True, False, None, 1, 2, 3, 64, 90, 0.25, 0.5, 0.75, "a", "b", "en", "de", "64x64", "vivid"),
    *("32x32", ["a"], ["b"], [1], [2], [[1, 2]], {"a": 1}, {"1": 0.5}, {"a": "b"}, [{"a": 1}]),
    *([{"a": 2}], {"include_usage": True}, {"include_usage": False}, "pan_left", "zoom_in"),
    *({"type": "json_object"}, {"type": "text"}, *PICTURES, *SOUNDS),
    *([{"role": "user", "content": text}] for text in ("hello ", "good bye")),
    *({"type": "eq", "key": "k", "value": value} for value in ("a", "b")),
    *("Card", "Grid", *FILES),
]
"""Of these, whatever a field takes is tried."""
BESIDE: dict[str, dict[str, Any]] = {
    "stream_options": {"stream": True},
    "question": {"task": "question"},
    "control_image": {"controlnet": "canny"},
    "control_scale": {"controlnet": "canny", "control_image": PICTURES[0]},
    "controlnet": {"control_image": PICTURES[0]},
    "lora_scale": {"lora": "ink"},
    "partial_images": {"stream": True},
    "progress": {"stream": True},
    "explain": {},
    "function_call": {"functions": [{"name": "f"}]},
}
"""What a field needs beside it."""
VARIANTS: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("analyse", "kind"): KINDS,
    ("analyse", "features"): [KINDS[0] | {"features": {"amount": n}} for n in (1.0, 2.0)],
    ("analyse", "rows"): [{"kind": "transaction", "rows": [{"amount": n}]} for n in (1.0, 2.0)],
    ("analyse", "columns"): [
        {"kind": "transaction", "columns": {"amount": [n]}} for n in (1.0, 2.0)
    ],
    ("forecast", "series"): [{"series": series} for series in SERIES],
    ("describe", "task"): [
        {"image": PICTURES[0]} | more
        for more in ({"task": "caption"}, {"task": "ocr"}, {"task": "question", "question": "?"})
    ],
    ("converse", "file"): [{"file": sound} for sound in SOUNDS],
    ("image_workflow", "images"): [{"images": [picture], "describe": True} for picture in PICTURES],
}
"""Whole requests, for fields that exclude others."""


def choices(request: type[BaseModel], field: str) -> list[Any]:
    """Words that the schema of a field names, alone and as lists."""
    text = request.model_json_schema()["properties"][field]
    found: list[Any] = []
    queue = [text]
    while queue:
        schema = queue.pop()
        found += [*schema.get("enum", []), *([schema["const"]] if "const" in schema else [])]
        queue += [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]
    return [*found, *([word] for word in found)]


def requests(named: str, operation: Operation, field: str) -> list[BaseModel]:
    """Good requests that differ in a field."""
    name = named.partition(" ")[2]
    documents = VARIANTS.get((name, field))
    if documents is None:
        sent = operation.request.model_fields[field].alias or field
        base = BASES.get(named, BASES.get(name, {})) | BESIDE.get(field, {})
        values = [*VALUES, *choices(operation.request, sent)]
        documents = [base | {sent: value} for value in values]
    found = []
    for document in documents:
        try:
            found.append(operation.request.model_validate(document))
        except ValidationError:
            continue
    return found


@pytest.mark.parametrize("named", OPERATIONS)
def test_every_field_of_every_operation_is_part_of_the_key(named: str):
    operation, name = OPERATIONS[named], named.partition(" ")[2]
    assert name in BASES or named in BASES, f"add a good request of '{name}' to BASES"
    for field in operation.request.model_fields:
        if field == "model" or operation.request.model_fields[field].annotation is type(None):
            continue  # the card stands for it; nothing but null is taken
        found = requests(named, operation, field)
        told = [repr(request.model_dump(include={field})) for request in found]
        assert len(set(told)) > 1, f"add values of '{field}' of '{name}' to VALUES, or to VARIANTS"
        keys = [cache_key(CARD, name, request) for request in found]
        for (one, its_key), (other, others_key) in combinations(zip(told, keys, strict=True), 2):
            assert one == other or its_key != others_key, (field, one, other)


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("field", ["min_p", "length_penalty", "temperature"])
def test_numbers_that_json_has_no_word_for_are_refused(field: str, number: str):
    """In a key they would all look like null."""
    with pytest.raises(ValidationError):
        ChatRequest.model_validate(BASE | {field: number})
    with pytest.raises(ValidationError):
        ChatRequest.model_validate(BASE | {"logit_bias": {"1": number}})
