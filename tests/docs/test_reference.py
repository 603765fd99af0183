"""The reference pages say what the code says: settings, errors, models, endpoints, metrics."""

import re
from dataclasses import fields
from typing import Any
from unittest.mock import Mock

import pytest
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from auth.identity_settings import IdentitySettings, IssuerSettings
from auth.plans import LimitSet, MoneyLimits, PlanEntry, PlansFile, SpanLimits
from auth.prices import ModelPrices, PricesFile
from auth.principal import Scope
from core.errors import CarillonError
from core.imports import load_spec
from core.model import ModelCard
from core.rag import RagLimits
from core.settings import ROOT, StoreSettings
from core.videos import VideoLimits
from deployments.echo import EchoSettings
from deployments.embeddings import EmbeddingSettings
from deployments.forecast import ForecastSettings
from deployments.fraud import FraudSettings
from deployments.image_orders import ImageSettings
from deployments.llm import LlmSettings
from deployments.reading import ReadingSettings
from deployments.rerank import RerankSettings
from deployments.speech import SpeechSettings
from deployments.transcription import TranscriptionSettings
from deployments.video_takes import VideoSettings
from deployments.vision import VisionSettings
from graphs.app_builder.builder import AppBuilderSettings
from graphs.gateway import GatewayArgs, GatewayConfig
from graphs.image_workflow.workflow import ImageWorkflowSettings
from graphs.jobs import JobsArgs
from graphs.ledger import LedgerArgs
from graphs.market.insight import MarketSettings
from graphs.model import ModelArgs
from graphs.rag.settings import RagSettings
from graphs.rag.store_settings import PineconeStore, PostgresqlStore, QdrantStore, WeaviateStore
from graphs.sql_assist.settings import SqlSettings
from graphs.voice.graph import VoiceSettings
from graphs.webhooks import WebhookSettings
from ingress.accounts import KeyRequest
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.endpoint import Endpoint
from ingress.fetch import FetchSettings
from ingress.media.settings import MediaSettings
from ingress.realtime.settings import RealtimeSettings
from ingress.routes import Services, endpoints, sockets
from tests.docs.sources import metric_names, sources, table_rows

DOCS = ROOT / "docs"
SETTINGS: list[type[BaseModel]] = [
    GatewayArgs,
    GatewayConfig,
    ModelCard,
    JobsArgs,
    WebhookSettings,
    MediaSettings,
    FetchSettings,
    IdentitySettings,
    IssuerSettings,
    LedgerArgs,
    StoreSettings,
    ModelArgs,
    LlmSettings,
    EmbeddingSettings,
    RerankSettings,
    EchoSettings,
    RagSettings,
    RagLimits,
    FraudSettings,
    ForecastSettings,
    SqlSettings,
    ImageSettings,
    AppBuilderSettings,
    ImageWorkflowSettings,
    MarketSettings,
    VideoSettings,
    VideoLimits,
    VisionSettings,
    ReadingSettings,
    SpeechSettings,
    TranscriptionSettings,
    RealtimeSettings,
    VoiceSettings,
    PostgresqlStore,
    QdrantStore,
    PineconeStore,
    WeaviateStore,
]
NAMED_DEFAULTS = {None: "none", "": "empty"}


def page(name: str) -> str:
    return (DOCS / name).read_text()


def section(text: str, heading: str) -> str:
    """From a heading to the next one of any level."""
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, heading
    return re.split(r"\n#+ ", rest, maxsplit=1)[0]


def default_of(field: Any) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    assert default is not PydanticUndefined
    if isinstance(default, BaseModel):
        return f"`{type(default).__name__}`"
    if isinstance(default, str) or default is None:
        return NAMED_DEFAULTS.get(default, f"`{default}`")
    return f"`{default}`"


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_setting_has_its_row_with_its_true_default(settings):
    rows = table_rows(section(page("configuration.md"), f"### `{settings.__name__}`"), 3)[1:]
    documented = {name.strip("`"): default for name, default, *_ in rows}
    assert documented == {n: default_of(f) for n, f in settings.model_fields.items()}


def test_every_field_of_a_plan_is_explained():
    rows = table_rows(section(page("configuration.md"), "## plans.yaml"), 3)[1:]
    documented = {(owner.strip("`"), name.strip("`")) for name, owner, *_ in rows}
    owners = (PlansFile, LimitSet, PlanEntry, SpanLimits, MoneyLimits)
    inherited = {("PlanEntry", name) for name in LimitSet.model_fields}
    fields = {(o.__name__, name) for o in owners for name in o.model_fields}
    assert documented == fields - inherited


def test_every_field_of_the_price_book_is_explained():
    rows = table_rows(section(page("configuration.md"), "## prices.yaml"), 3)[1:]
    documented = {(owner.strip("`"), name.strip("`")) for name, owner, *_ in rows}
    owners = (PricesFile, ModelPrices)
    assert documented == {(o.__name__, name) for o in owners for name in o.model_fields}


def test_the_example_price_book_is_one():
    example = section(page("configuration.md"), "## prices.yaml")
    document = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", example, re.DOTALL)[0])
    assert PricesFile.model_validate(document).models


def test_the_example_plan_is_one():
    example = section(page("configuration.md"), "## plans.yaml")
    document = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", example, re.DOTALL)[0])
    assert PlansFile.model_validate(document).plans


def test_every_environment_variable_that_the_code_reads_is_explained():
    read = {
        name
        for path in sources()
        for name in re.findall(r'environment\(\s*"([A-Z_]+)"', path.read_text())
    }
    rows = table_rows(section(page("configuration.md"), "## Environment"), 3)[1:]
    assert read - {"PYTHONPATH"} <= {name.strip("`") for name, *_ in rows}


def every_error() -> list[type[CarillonError]]:
    found = [CarillonError]
    for kind in found:
        found.extend(kind.__subclasses__())
    return [kind for kind in found if kind.__module__ == "core.errors"]


def test_every_error_code_is_explained_with_its_status():
    rows = table_rows(section(page("api.md"), "## Errors"), 3)[1:]
    documented = {(int(status), code.strip("`")) for status, code, *_ in rows}
    assert documented == {(kind.status_code, kind.code) for kind in every_error()}


@pytest.mark.parametrize(
    ("config", "name", "heading"),
    [("serve_config.yaml", "models.md", "# Models"), ("serve_config.gpu.yaml", "gpu.md", "# GPUs")],
)
def test_every_model_has_its_row(config, name, heading):
    document = yaml.safe_load((ROOT / config).read_text())
    gateway = next(a for a in document["applications"] if a["name"] == "gateway")
    cards = [
        ModelCard.model_validate(c) for c in gateway["deployments"][0]["user_config"]["models"]
    ]
    rows = table_rows(section("\n" + page(name), heading), 5)[1:]
    documented = {row[0].strip("`"): row for row in rows}
    assert list(documented) == [card.id for card in cards]
    for card in cards:
        for operation in load_spec(card.spec).operations:
            assert f"`{operation}`" in " ".join(documented[card.id]), card.id


def every_endpoint() -> list[Endpoint]:
    """The gateway's table, without a gateway: handlers are not called."""
    made: dict[str, Any] = {field.name: Mock() for field in fields(Services)}
    made["idempotency"].applied = lambda endpoint: endpoint
    services = Services(**(made | {"upload_bytes": 1}))
    return Application(endpoints(Catalog([]), services), "0").endpoints


def test_every_endpoint_and_alias_is_explained():
    text = page("api.md")
    rows = (
        table_rows(section(text, "## Endpoints"), 3)[1:]
        + table_rows(section(text, "## Aliases"), 3)[1:]
    )
    documented = {row[0].strip("`") for row in rows}
    assert documented == {f"{e.method} {e.path.replace(':path', '')}" for e in every_endpoint()}


def test_every_websocket_is_explained():
    made: dict[str, Any] = {field.name: Mock() for field in fields(Services)}
    rows = table_rows(section(page("api.md"), "## WebSockets"), 3)[1:]
    paths = {socket.path for socket in sockets(Catalog([]), Services(**made))}
    assert {row[0].strip("`") for row in rows} == paths


def test_every_metric_is_explained():
    rows = table_rows(section(page("operations.md"), "## Metrics"), 4)[1:]
    assert {row[0].strip("`") for row in rows} == metric_names()


def test_every_scope_and_every_field_of_a_new_key_is_explained():
    text = page("accounts.md")
    scopes = table_rows(section(text, "## Scopes"), 2)[1:]
    assert {row[0].strip("`") for row in scopes} == {scope.value for scope in Scope}
    fields = table_rows(section(text, "## Keys"), 3)[1:]
    assert {row[0].strip("`") for row in fields} == set(KeyRequest.model_fields)


def test_the_fail_modes_are_those_of_the_code():
    """`auth/quota.py` has the table; the page repeats what is down, in the same order."""
    from auth import quota

    lines = (quota.__doc__ or "").partition("what is down")[2].splitlines()[1:]
    parts = [line[4:27].strip() for line in lines if line[4:27].strip()]
    rows = table_rows(section(page("accounting.md"), "## When a part is down"), 3)[1:]
    assert [row[0] for row in rows] == parts


def test_the_tables_are_those_of_the_migrations():
    written = section(page("accounting.md"), "## The tables")
    migrations = ROOT / "auth" / "migrations" / "versions"
    text = "".join(path.read_text() for path in sorted(migrations.glob("0*.py")))
    for table, columns in re.findall(r"CREATE TABLE (\w+) \((.*?)\n        \)", text, re.DOTALL):
        assert f"{table} (" in written
        for column in re.findall(r"^ {12}([a-z]\w+) ", columns, re.MULTILINE):
            assert re.search(rf"\b{column}\b", written), (table, column)
