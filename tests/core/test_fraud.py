"""Rows: whatever way they come they are the same rows, and a wrong value is named."""

import contextlib
import math
import pickle
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.fraud import MAX_EXPLAINED, FraudRequest, estimate_fraud
from core.fraud_features import FEATURES, KINDS, names, row_schema
from core.fraud_rows import MAX_ROWS
from core.model import ModelCard
from core.work import WorkUnits
from ingress.cache_key import cache_key

CARD = ModelCard(id="fraud", spec="deployments.fraud:SPEC")


def value(feature):
    if feature.choices:
        return st.sampled_from(feature.choices)
    if feature.unit == "flag":
        return st.booleans()
    return st.floats(feature.low, feature.high) | st.integers(
        math.ceil(feature.low), int(feature.high)
    )


def row(kind):
    required = {f.name: value(f) for f in FEATURES[kind] if f.required}
    optional = {f.name: value(f) | st.none() for f in FEATURES[kind] if not f.required}
    return st.fixed_dictionaries(required, optional=optional)


def parse(**fields):
    return FraudRequest.model_validate({"kind": "transaction"} | fields)


def fault(**fields):
    """(type, place) of the first fault."""
    with pytest.raises(ValidationError) as caught:
        parse(**fields)
    first = caught.value.errors()[0]
    return first["type"], ".".join(map(str, first["loc"])), first["msg"]


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_rows_and_columns_say_the_same(kind, data):
    rows = data.draw(st.lists(row(kind), min_size=1, max_size=5))
    columns = {name: [r.get(name) for r in rows] for name in names(kind)}
    by_rows = FraudRequest.model_validate({"kind": kind, "rows": rows}).table
    by_columns = FraudRequest.model_validate({"kind": kind, "columns": columns}).table
    assert by_rows == by_columns
    assert by_rows.size == len(rows)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_one_object_is_a_list_of_one(kind, data):
    one = data.draw(row(kind))
    alone = FraudRequest.model_validate({"kind": kind, "features": one})
    listed = FraudRequest.model_validate({"kind": kind, "rows": [one]})
    assert alone.table == listed.table
    for name, given_value in one.items():
        number = array("f", alone.table.values)[names(kind).index(name)]
        if given_value is None:
            assert math.isnan(number)
        elif not isinstance(given_value, str):
            assert number == pytest.approx(float(given_value), rel=1e-6, abs=1e-30)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.sampled_from(["features", "rows", "columns", "threshold", "explain", "kind"]),
)
def test_anything_else_is_a_validation_error_and_nothing_worse(anything, name):
    fields = {"kind": "transaction", "features": {"amount": 1}} | {name: anything}
    with contextlib.suppress(ValidationError):
        FraudRequest.model_validate(fields)


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"features": {"amount": math.nan}}, "features.amount"),
        ({"features": {"amount": math.inf}}, "features.amount"),
        ({"features": {"amount": -1}}, "features.amount"),
        ({"features": {"amount": 10**400}}, "features.amount"),
        ({"features": {"amount": "12"}}, "features.amount"),
        ({"features": {"amount": [1]}}, "features.amount"),
        ({"features": {"amount": None}}, "features.amount"),
        ({"features": {}}, "features.amount"),
        ({"features": [1]}, "features"),
        ({"features": {"amount": 1, "hour": 25}}, "features.hour"),
        ({"features": {"amount": 1, "foreign": 0.5}}, "features.foreign"),
        ({"features": {"amount": 1, "merchant_category": "bank"}}, "features.merchant_category"),
        ({"features": {"amount": 1, "merchant_category": 3}}, "features.merchant_category"),
        ({"rows": [{"amount": 1}, {"amount": math.nan}]}, "rows.1.amount"),
        ({"rows": [{"amount": 1}, {"hour": 3}]}, "rows.1.amount"),
        ({"rows": [{"amount": 1}, 7]}, "rows.1"),
        ({"rows": []}, "rows"),
        ({"rows": {"amount": [1]}}, "rows"),
        ({"columns": {}}, "columns"),
        ({"columns": {"amount": 1}}, "columns.amount"),
        ({"columns": {"amount": []}}, "columns"),
        ({"columns": {"amount": [1, 2], "hour": [3]}}, "columns.hour"),
        ({"columns": {"amount": [1, 2], "hour": [3, 99]}}, "columns.hour.1"),
        ({}, "features"),
        ({"features": {"amount": 1}, "rows": [{"amount": 1}]}, "rows"),
        ({"features": {"amount": 1}, "kind": "insurance"}, "kind"),
        ({"features": {"amount": 1}, "threshold": 1.5}, "threshold"),
        ({"features": {"amount": 1}, "threshold": math.nan}, "threshold"),
        ({"rows": [{"amount": 1}] * (MAX_EXPLAINED + 1), "explain": True}, "explain"),
    ],
)
def test_the_wrong_value_is_named(wrong, place):
    assert fault(**wrong)[1] == place


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"features": {"amount": 1, "colour": 1}}, "features.colour"),
        ({"rows": [{"amount": 1}, {"amount": 1, "{x}": 1}]}, "rows.1.{x}"),
        ({"columns": {"amount": [1], "colour": [1]}}, "columns.colour"),
        ({"features": {"amount": 1}, "colour": 1}, "colour"),
        ({"features": {"amount": 1, "bytes_out": 1}}, "features.bytes_out"),
    ],
)
def test_a_feature_that_does_not_exist_is_an_unknown_parameter(wrong, place):
    assert fault(**wrong)[:2] == ("extra_forbidden", place)


def test_more_rows_than_the_limit_are_refused_with_the_limit():
    _, place, message = fault(rows=[{"amount": 1}] * (MAX_ROWS + 1))
    assert place == "rows"
    assert "100,000" in message


def test_what_is_reserved_is_the_number_of_rows():
    request = parse(columns={"amount": [1.0] * 321})
    assert estimate_fraud(request, CARD) == WorkUnits(rows=321)


def test_rows_that_differ_anywhere_differ_in_the_cache():
    def key(**fields):
        return cache_key(CARD, "analyse", parse(**fields))

    first = key(rows=[{"amount": 1, "hour": 3}, {"amount": 2, "hour": 4}])
    assert first == key(rows=[{"amount": 1, "hour": 3}, {"amount": 2, "hour": 4}])
    others = [
        key(rows=[{"amount": 1, "hour": 3}, {"amount": 2, "hour": 5}]),
        key(rows=[{"amount": 2, "hour": 4}, {"amount": 1, "hour": 3}]),
        key(rows=[{"amount": 1, "hour": 3}, {"amount": 2}]),
        key(rows=[{"amount": 1, "hour": 3}]),
        key(rows=[{"amount": 1, "hour": 3}, {"amount": 2, "hour": 4}], explain=True),
        key(rows=[{"amount": 1, "hour": 3}, {"amount": 2, "hour": 4}], threshold=0.5),
    ]
    assert len({first, *others}) == len(others) + 1


def test_ten_thousand_rows_travel_in_less_than_a_megabyte():
    request = parse(columns={"amount": [1.0] * 10_000, "hour": [3] * 10_000})
    travelled = pickle.dumps(request)
    assert len(travelled) < 2**20
    assert pickle.loads(travelled) == request


def test_every_feature_is_described_with_its_unit():
    for kind in KINDS:
        for name, schema in row_schema(kind)["properties"].items():
            assert len(schema["description"]) > 10, name
            assert schema["description"].endswith(")"), name
