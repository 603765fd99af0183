"""Filters on metadata as Weaviate's, by the client's own builder of conditions.

Place in the path: under the Weaviate store. Weaviate calls a condition on a property that its class
lacks an error; here it is one that no passage passes.
"""

from collections.abc import Collection

from weaviate.classes.query import Filter, FilterReturn

from core.filters import AnyFilter, Combined, Compare, Equals, In, Scalar
from graphs.rag.facets import NUMBER, alternatives, facet_name
from graphs.rag.weaviate_schema import property_name, quoted


def where(filter_: AnyFilter, properties: Collection[str]) -> FilterReturn:
    """A filter as a condition.

    Args:
        filter_: on metadata.
        properties: names of the properties that there are.
    """
    match filter_:
        case Equals(key=key, value=value):
            return _equals(property_name(facet_name(key, value)), value, properties)
        case In():
            return Filter.any_of([where(each, properties) for each in alternatives(filter_)])
        case Compare(key=key):
            name = property_name(f"{NUMBER}_{key}")
            return _compares(filter_, name) if name in properties else _never()
        case Combined(type=type_, filters=filters):
            join = Filter.all_of if type_ == "and" else Filter.any_of
            return join([where(each, properties) for each in filters])


def of_document(document: str, first: int) -> FilterReturn:
    """A document's passages from a position on."""
    return Filter.all_of(
        [
            Filter.by_property("document").equal(document),
            Filter.by_property("position").greater_or_equal(first),
        ]
    )


def _equals(name: str, value: Scalar, properties: Collection[str]) -> FilterReturn:
    if name not in properties:
        return _never()
    equals = Filter.by_property(name).equal
    if isinstance(value, bool):
        return equals(value)
    # Numbers are of one type there: a whole one travels as Weaviate keeps it.
    return equals(quoted(value) if isinstance(value, str) else float(value))


def _compares(filter_: Compare, name: str) -> FilterReturn:
    number, value = Filter.by_property(name), float(filter_.value)
    match filter_.type:
        case "gt":
            return number.greater_than(value)
        case "gte":
            return number.greater_or_equal(value)
        case "lt":
            return number.less_than(value)
        case "lte":
            return number.less_or_equal(value)


def _never() -> FilterReturn:
    return Filter.by_property("position").less_than(0)
