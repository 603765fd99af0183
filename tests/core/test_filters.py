"""Filters as requests give them."""

import pytest
from pydantic import TypeAdapter, ValidationError

from core.filters import MAX_CONDITIONS, MAX_DEPTH, Filter, Metadata, conditions

FILTERS: TypeAdapter = TypeAdapter(Filter)
METADATA: TypeAdapter = TypeAdapter(Metadata)
ONE = {"type": "eq", "key": "a", "value": 1}


@pytest.mark.parametrize(
    "filter_",
    [
        ONE,
        {"type": "eq", "key": "a", "value": True},
        {"type": "in", "key": "a", "value": ["x", 1, 2.5, False]},
        {"type": "gte", "key": "a", "value": -2.5},
        {"type": "and", "filters": [ONE, {"type": "or", "filters": [ONE, ONE]}]},
    ],
)
def test_what_is_read_is_written_again(filter_: dict):
    read = FILTERS.validate_python(filter_)
    assert FILTERS.dump_python(read, mode="json") == filter_
    assert FILTERS.validate_json(FILTERS.dump_json(read)) == read


@pytest.mark.parametrize(
    ("filter_", "place"),
    [
        ({"type": "like", "key": "a", "value": 1}, "like"),
        ({"type": "eq", "key": "a b", "value": 1}, "key"),
        ({"type": "eq", "key": "", "value": 1}, "key"),
        ({"type": "eq", "key": "a" * 65, "value": 1}, "key"),
        ({"type": "eq", "key": "a", "value": None}, "value"),
        ({"type": "eq", "key": "a", "value": [1]}, "value"),
        ({"type": "eq", "key": "a", "value": float("nan")}, "value"),
        ({"type": "eq", "key": "a", "value": 2**60}, "value"),
        ({"type": "eq", "key": "a", "value": "x\0y"}, "value"),
        ({"type": "eq", "key": "a", "value": 1, "tenant": "t"}, "tenant"),
        ({"type": "in", "key": "a", "value": []}, "value"),
        ({"type": "in", "key": "a", "value": ["x"] * 101}, "value"),
        ({"type": "gt", "key": "a", "value": "2020"}, "value"),
        ({"type": "gt", "key": "a", "value": True}, "value"),
        ({"type": "and", "filters": []}, "filters"),
        ({"type": "and", "filters": ONE}, "filters"),
    ],
)
def test_what_no_store_could_answer_is_refused_by_its_place(filter_: dict, place: str):
    with pytest.raises(ValidationError, match=place):
        FILTERS.validate_python(filter_)


def nested(depth: int) -> dict:
    filter_ = ONE
    for _ in range(depth - 1):
        filter_ = {"type": "or", "filters": [filter_]}
    return filter_


def test_filters_nest_so_deep_and_no_deeper():
    FILTERS.validate_python(nested(MAX_DEPTH))
    for depth in (MAX_DEPTH + 1, 5_000):
        with pytest.raises(ValidationError, match="nested"):
            FILTERS.validate_python(nested(depth))


def test_filters_have_so_many_conditions_and_no_more():
    half = {"type": "or", "filters": [ONE] * (MAX_CONDITIONS // 2)}
    read = FILTERS.validate_python({"type": "and", "filters": [half, half]})
    assert conditions(read) == MAX_CONDITIONS
    with pytest.raises(ValidationError, match="conditions"):
        FILTERS.validate_python({"type": "and", "filters": [half, half, ONE]})


@pytest.mark.parametrize(
    "metadata",
    [{"a": {"b": 1}}, {"a": None}, {"a b": 1}, {"a": [1]}, {"a": "x" * 1001}, {"a": float("inf")}],
)
def test_metadata_that_some_store_cannot_hold_is_refused(metadata: dict):
    with pytest.raises(ValidationError):
        METADATA.validate_python(metadata)


def test_metadata_keeps_kinds_of_values():
    metadata = {"a": 1, "b": 1.0, "c": True, "d": "1", "e": ["x"]}
    read = METADATA.validate_python(metadata)
    assert [type(value) for value in read.values()] == [int, float, bool, str, list]
