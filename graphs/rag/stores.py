"""The vector store that settings choose.

Place in the path: start-up of a RAG replica. Each store's module, and with it its client, is
imported only when it is the one: those of other databases are extras of this project.
"""

from collections.abc import Callable
from importlib import import_module
from typing import cast

from core.errors import SettingsError
from graphs.rag.store_settings import (
    PineconeStore,
    PostgresqlStore,
    QdrantStore,
    StoreChoice,
    WeaviateStore,
)
from graphs.rag.vector_store import VectorStore

STORES: dict[type, str] = {
    PostgresqlStore: "graphs.rag.postgresql:PostgresqlPassages",
    QdrantStore: "graphs.rag.qdrant:QdrantPassages",
    PineconeStore: "graphs.rag.pinecone:PineconePassages",
    WeaviateStore: "graphs.rag.weaviate:WeaviatePassages",
}


def open_store(settings: StoreChoice) -> VectorStore:
    """The store, not started. Raises SettingsError when a secret or its client is missing."""
    module, _, name = STORES[type(settings)].partition(":")
    try:
        opened = cast("Callable[[StoreChoice], VectorStore]", getattr(import_module(module), name))
    except ImportError as error:
        raise SettingsError(
            f"store: {settings.kind}: its client is not installed: add the extra '{settings.kind}'"
        ) from error
    return opened(settings)
