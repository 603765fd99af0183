"""Scopes and filters in Qdrant's form.

Place in the path: under the Qdrant store. Every condition made here names one scope: there is no
other way to ask that store.
"""

import json

from qdrant_client import models

from core.filters import AnyFilter, Combined, Compare, Equals, In, Scalar
from graphs.rag.facets import NUMBER, alternatives, facet_name
from graphs.rag.vector_store import Scope

FACETS = "facets"


def scope_key(scope: Scope) -> str:
    """A scope as one value; no two share one."""
    return json.dumps([scope.tenant, scope.collection])


def of_scope(scope: Scope, filter_: AnyFilter | None = None) -> models.Filter:
    """Passages of a scope that match a filter."""
    must: list[models.Condition] = [_is("scope", scope_key(scope))]
    if filter_ is not None:
        must.append(_condition(filter_))
    return models.Filter(must=must)


def of_document(scope: Scope, document: str, first: int) -> models.Filter:
    """A document's passages from a position on."""
    later = models.FieldCondition(key="position", range=models.Range(gte=first))
    return models.Filter(must=[_is("scope", scope_key(scope)), _is("document", document), later])


def _condition(filter_: AnyFilter) -> models.Condition:
    match filter_:
        case Equals(key=key, value=value):
            name = f"{FACETS}.{facet_name(key, value)}"
            if isinstance(value, bool | str):
                return _is(name, value)
            return models.FieldCondition(key=name, range=models.Range(gte=value, lte=value))
        case In():
            return models.Filter(should=[_condition(each) for each in alternatives(filter_)])
        case Compare(type=type_, key=key, value=value):
            range_ = models.Range(**{type_: value})
            return models.FieldCondition(key=f"{FACETS}.{NUMBER}_{key}", range=range_)
        case Combined(type=type_, filters=filters):
            inner = [_condition(each) for each in filters]
            return models.Filter(must=inner) if type_ == "and" else models.Filter(should=inner)


def _is(key: str, value: Scalar) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))
