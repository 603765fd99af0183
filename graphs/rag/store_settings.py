"""Which vector store a RAG graph uses, and how to reach it: `store` of its `engine` settings.

Place in the path: start-up only. Secrets are references (`env:NAME`, `file:PATH`). The clients of
other databases are extras, imported by `graphs/rag/stores.py` for the store that is chosen.
"""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from core.model import Frozen
from core.settings import SecretReference

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
Server = Annotated[str, Field(pattern=r"^https?://[^/?#@:\s]+(:\d{1,5})?/?$")]
"""A host with its port; `https` for TLS."""


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
    dimensions: int = Field(ge=1)
    """Length of the embedding model's vectors."""
    url: str | None = None
    """The server's URL, as `http://qdrant:6333`."""
    path: str | None = None
    """A directory, in place of a server: for one replica, and some ten thousand passages."""
    api_key: SecretReference | None = None
    name: Name = "carillon"
    """Begins the name of the collection made there."""
    timeout_s: float = Field(10.0, gt=0)
    """Longest wait for a call."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.url is None) == (self.path is None):
            raise ValueError("give exactly one of 'url' and 'path'")
        return self


class PineconeStore(Frozen):
    """Passages in a Pinecone index of documents, with its full-text search."""

    kind: Literal["pinecone"]
    dimensions: int = Field(ge=1)
    """Length of the embedding model's vectors."""
    api_key: SecretReference
    name: Name = "carillon"
    """Begins the name of the index made there."""
    cloud: str = "aws"
    """Where the index is made when it is not there yet."""
    region: str = "us-east-1"
    """The same."""
    url: str = "https://api.pinecone.io"
    """The control plane, which says where the index is."""
    timeout_s: float = Field(10.0, gt=0)
    """Longest wait for a call."""


class WeaviateStore(Frozen):
    """Passages in Weaviate, with its own tenants and its keyword search."""

    kind: Literal["weaviate"]
    dimensions: int = Field(ge=1)
    """Length of the embedding model's vectors."""
    url: Server
    """Its REST interface, as `http://weaviate:8080`; `https` for TLS."""
    grpc_url: Server | None = None
    """Its gRPC interface, as `http://weaviate:50051`; none: port 50051 of the same host."""
    api_key: SecretReference | None = None
    name: Name = "carillon"
    """Begins the name of the class made there."""
    timeout_s: float = Field(10.0, gt=0)
    """Longest wait for a call."""


StoreChoice: TypeAlias = Annotated[
    PostgresqlStore | QdrantStore | PineconeStore | WeaviateStore, Field(discriminator="kind")
]
