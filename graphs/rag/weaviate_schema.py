"""The class that passages have in Weaviate: its properties, its index, its tenants.

Place in the path: under the Weaviate store, which makes the class and adds properties to it. Names
of properties may not differ by case alone there, and keys of metadata may: capitals are written in
another way. All tenants share the class, so a key of one must never stand in another's way.
"""

import re
from typing import Any

from weaviate import WeaviateAsyncClient
from weaviate.classes.config import (
    Configure,
    DataType,
    Property,
    StopwordsPreset,
    Tokenization,
    VectorDistances,
)

from core.filters import Metadata
from graphs.rag.facets import FLAG, NUMBER, TEXT, Facet, facets, kind_of

VECTOR, WORDS = "passage", "words"
EXACT: dict[str, Any] = {"tokenization": Tokenization.FIELD, "index_searchable": False}
KEPT: dict[str, Any] = {**EXACT, "index_filterable": False}
FACETS: dict[str, dict[str, Any]] = {
    TEXT: {"data_type": DataType.TEXT_ARRAY, **EXACT},
    NUMBER: {"data_type": DataType.NUMBER, "index_range_filters": True},
    FLAG: {"data_type": DataType.BOOL},
}
SPECIAL = re.compile(r"[A-Z_]")


async def create(client: WeaviateAsyncClient, name: str) -> None:
    """Make the class. Vectors come from outside, and no word is too common to be counted."""
    await client.collections.create(
        name,
        properties=[
            Property(name="document", data_type=DataType.TEXT, **EXACT),
            Property(name="position", data_type=DataType.INT, index_range_filters=True),
            Property(name="text", data_type=DataType.TEXT, **KEPT),
            Property(
                name=WORDS,
                data_type=DataType.TEXT,
                tokenization=Tokenization.WHITESPACE,
                index_filterable=False,
            ),
            Property(name="metadata", data_type=DataType.TEXT, **KEPT),
        ],
        vector_config=Configure.Vectors.self_provided(
            name=VECTOR,
            vector_index_config=Configure.VectorIndex.hnsw(distance_metric=VectorDistances.COSINE),
        ),
        inverted_index_config=Configure.inverted_index(stopwords_preset=StopwordsPreset.NONE),
        multi_tenancy_config=Configure.multi_tenancy(
            auto_tenant_creation=True, auto_tenant_activation=True
        ),
    )


def properties_of(metadata: Metadata) -> dict[str, Facet]:
    """Name and value of the property of each key."""
    return {
        property_name(name): [quoted(each) for each in value] if isinstance(value, list) else value
        for name, value in facets(metadata).items()
    }


def quoted(text: str) -> str:
    """Text to compare: Weaviate would take the spaces around it, and all of an empty one, away."""
    return f'"{text}"'


def facet_property(name: str) -> Property:
    """The property of a name from `properties_of`."""
    return Property(name=name, **FACETS[kind_of(name)])


def property_name(facet: str) -> str:
    """Of a facet: `pageCount` becomes `page_count`, and `page_count` becomes `page__count`."""
    kind, _, key = facet.partition("_")
    return f"{kind}_{SPECIAL.sub(lambda found: f'_{found.group().lower()}', key)}"
