"""Which vector store a RAG graph uses, and how to reach it: `store` of its `engine` settings.

Place in the path: start-up only. Secrets are references (`env:NAME`, `file:PATH`). The clients of
other databases are extras, imported by `graphs/rag/stores.py` for the store that is chosen.
"""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from core.model import Frozen
from core.settings import SecretReference

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]


class PostgresqlStore(Frozen):
    """Passages in Carillon's own PostgreSQL, found by pgvector and its full-text search."""

    kind: Literal["postgresql"] = "postgresql"
    database_url: SecretReference = SecretReference("env:DATABASE_URL")
    connections: int = Field(4, ge=1)
    """Of one replica, at most."""
    timeout_s: float = Field(10.0, gt=0)
    """Longest wait for a statement."""


class QdrantStore(Frozen):
    """Passages in Qdrant: a server, or a directory that one replica has for itself."""

    kind: Literal["qdrant"]
    url: str | None = None
    """The server's URL, as `http://qdrant:6333`."""
    path: str | None = None
    """A directory, in place of a server: for one replica, and some ten thousand passages."""
    api_key: SecretReference | None = None
    name: Name = "carillon"
    """Begins the names of the collections made there."""
    timeout_s: float = Field(10.0, gt=0)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.url is None) == (self.path is None):
            raise ValueError("give exactly one of 'url' and 'path'")
        return self


class PineconeStore(Frozen):
    """Passages in Pinecone: an index of vectors, and one of words for keywords."""

    kind: Literal["pinecone"]
    api_key: SecretReference
    name: Name = "carillon"
    """Begins the names of the indexes made there."""
    cloud: str = "aws"
    region: str = "us-east-1"
    """Where indexes are made that are not there yet."""
    url: str = "https://api.pinecone.io"
    """The control plane, which says where the indexes are."""
    timeout_s: float = Field(10.0, gt=0)


class WeaviateStore(Frozen):
    """Passages in Weaviate, with its own multi-tenancy and keyword search."""

    kind: Literal["weaviate"]
    url: str
    """As `http://weaviate:8080`."""
    api_key: SecretReference | None = None
    name: Name = "carillon"
    """Begins the names of the classes made there."""
    timeout_s: float = Field(10.0, gt=0)


StoreChoice: TypeAlias = Annotated[
    PostgresqlStore | QdrantStore | PineconeStore | WeaviateStore, Field(discriminator="kind")
]
