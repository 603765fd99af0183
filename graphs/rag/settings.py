"""Settings of a RAG graph: which models and which store it is made of.

Place in the path: start-up only; `engine` of its application. Secrets are references.
"""

from core.model import Frozen
from core.rag import RagLimits
from core.settings import SecretReference
from graphs.rag.store_settings import PostgresqlStore, StoreChoice


class RagSettings(Frozen):
    """`engine` settings of a RAG graph."""

    name: str = "rag"
    """Its id: answers carry it, and collections say which graph keeps them."""
    chat: str
    """Id of the model that writes answers."""
    embeddings: str
    """Id of the model whose vectors are kept."""
    tokenizer: str | None = None
    """Where that model's `tokenizer.json` is, as a source of weights; None counts roughly."""
    reranker: str | None = None
    """Id of a model with the operation `rerank`."""
    limits: RagLimits = RagLimits()
    """As in its card."""
    store: StoreChoice = PostgresqlStore()
    """Where passages are kept."""
    database_url: SecretReference = SecretReference("env:DATABASE_URL")
    """PostgreSQL, where the documents themselves are."""
