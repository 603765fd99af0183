"""The store that settings choose."""

import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from core.errors import SettingsError
from graphs.rag.postgresql import PostgresqlPassages
from graphs.rag.store_settings import PostgresqlStore, StoreChoice
from graphs.rag.stores import open_store
from graphs.rag.weaviate import WeaviatePassages

CHOICE: TypeAdapter = TypeAdapter(StoreChoice)


def test_the_kind_chooses(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://x@/y")
    assert isinstance(
        open_store(CHOICE.validate_python({"kind": "postgresql"})), PostgresqlPassages
    )
    weaviate = {"kind": "weaviate", "dimensions": 4, "url": "http://127.0.0.1:1"}
    assert isinstance(open_store(CHOICE.validate_python(weaviate)), WeaviatePassages)


@pytest.mark.parametrize(
    ("choice", "place"),
    [
        ({"kind": "faiss"}, "faiss"),
        ({"kind": "qdrant", "dimensions": 4}, "url"),
        ({"kind": "qdrant", "dimensions": 4, "url": "http://q", "path": "q"}, "path"),
        ({"kind": "qdrant", "dimensions": 4, "url": "http://q", "api_key": "secret"}, "api_key"),
        ({"kind": "pinecone", "dimensions": 4}, "api_key"),
        ({"kind": "weaviate", "url": "http://w"}, "dimensions"),
        ({"kind": "weaviate", "dimensions": 4, "url": "weaviate:8080"}, "url"),
        ({"kind": "weaviate", "dimensions": 4, "url": "http://key@w:8080"}, "url"),
        ({"kind": "weaviate", "dimensions": 4, "url": "http://w", "grpc_url": "w:1"}, "grpc_url"),
    ],
)
def test_settings_that_cannot_be_are_refused(choice: dict, place: str):
    with pytest.raises(ValidationError, match=place):
        CHOICE.validate_python(choice)


def test_a_secret_that_is_not_set_is_named():
    with pytest.raises(SettingsError, match="env:NO_SUCH_KEY"):
        open_store(
            CHOICE.validate_python(
                {"kind": "pinecone", "dimensions": 4, "api_key": "env:NO_SUCH_KEY"}
            )
        )


@pytest.mark.parametrize(
    ("client", "choice"),
    [
        ("qdrant_client", {"kind": "qdrant", "dimensions": 4, "path": "q"}),
        ("pinecone", {"kind": "pinecone", "dimensions": 4, "api_key": "env:NO_SUCH_KEY"}),
        ("weaviate", {"kind": "weaviate", "dimensions": 4, "url": "http://w:8080"}),
    ],
)
def test_a_client_that_is_not_installed_is_named(
    client: str, choice: dict, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, client, None)
    for name in [each for each in sys.modules if each.startswith(f"graphs.rag.{choice['kind']}")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SettingsError, match=f"extra '{choice['kind']}'"):
        open_store(CHOICE.validate_python(choice))


def test_settings_import_no_client():
    """The gateway reads a graph's settings, and has none of its clients."""
    script = (
        "import sys, graphs.rag.store_settings, graphs.rag.vector_store, graphs.rag.fusion;"
        "clients = {'numpy', 'asyncpg', 'qdrant_client', 'pinecone', 'weaviate', 'httpx'};"
        "sys.exit(bool(clients & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
    assert PostgresqlStore().kind == "postgresql"
