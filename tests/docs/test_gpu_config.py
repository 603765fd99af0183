"""`serve_config.gpu.yaml` cannot start here; everything that can be known without a GPU is."""

from typing import Any

import pytest

from cli.config import CheckedConfig, read_config
from core.settings import ROOT
from deployments.llm import Llm, LlmSettings
from deployments.rerank import RerankSettings
from graphs.gateway import GatewayConfig
from ingress.catalog import Catalog


@pytest.fixture(scope="module")
def config() -> CheckedConfig:
    return read_config(ROOT / "serve_config.gpu.yaml")


@pytest.fixture(scope="module")
def applications(config: CheckedConfig) -> list[dict[str, Any]]:
    return list(config.document["applications"])


def deployment_of(application: dict[str, Any]) -> dict[str, Any]:
    deployments: list[dict[str, Any]] = application["deployments"]
    assert len(deployments) == 1
    return deployments[0]


def gpus_of(application: dict[str, Any]) -> float:
    return float((deployment_of(application).get("ray_actor_options") or {}).get("num_gpus", 0))


def engines(applications: list[dict[str, Any]]) -> list[tuple[dict[str, Any], LlmSettings]]:
    return [
        (application, LlmSettings.model_validate(application["args"]["engine"]))
        for application in applications
        if application["args"].get("spec") == "deployments.llm:SPEC"
    ]


def cards(applications: list[dict[str, Any]]) -> GatewayConfig:
    gateway = next(a for a in applications if a["name"] == "gateway")
    return GatewayConfig.model_validate(deployment_of(gateway)["user_config"])


def test_the_strict_check_finds_neither_faults_nor_warnings(config):
    assert config.warnings == ()


def test_every_model_is_listed_by_the_gateway(applications):
    listed = {card.application_name for card in cards(applications).models}
    assert listed == {a["name"] for a in applications if "spec" in a["args"]}


def test_vllm_takes_every_option_and_has_every_parser(applications):
    """vLLM's own command line; unknown options and choices fail inside it."""
    from vllm.reasoning import ReasoningParserManager
    from vllm.tool_parsers import ToolParserManager

    for application, settings in engines(applications):
        model = Llm(settings)
        arguments = model._arguments()
        assert arguments.served_model_name == [application["name"]]
        if arguments.enable_auto_tool_choice:
            assert arguments.tool_call_parser in ToolParserManager.list_registered()
        if parser := settings.options.get("reasoning-parser"):
            assert parser in ReasoningParserManager.list_registered()
            assert arguments.structured_outputs_config.reasoning_parser or parser


def test_an_engine_takes_no_more_memory_than_its_share_of_a_gpu(applications):
    for application, settings in engines(applications):
        share = gpus_of(application)
        assert 0 < share <= 1
        assert float(settings.options["gpu-memory-utilization"]) <= share


def test_no_memory_fraction_is_above_its_share_of_a_gpu(applications):
    fractions = {
        application["name"]: (fraction, gpus_of(application))
        for application in applications
        if (fraction := application["args"].get("engine", {}).get("memory_fraction"))
    }
    assert {"sdxl", "bge-large-en-v1.5", "vctk-vits"} <= fractions.keys()
    for name, (fraction, share) in fractions.items():
        assert fraction <= share, name


def test_all_models_fit_on_one_gpu(applications):
    """Everything awake at once. Sums of fractions are what Ray compares, so leave no rounding."""
    assert sum(gpus_of(application) for application in applications) <= 1 - 1e-6


def test_a_card_promises_the_window_that_the_engine_has(applications):
    windows = {card.application_name: card.context_window for card in cards(applications).models}
    for application, settings in engines(applications):
        assert windows[application["name"]] == settings.options["max-model-len"]


def test_updates_are_no_outage_where_something_always_runs(applications):
    for application in applications:
        deployment = deployment_of(application)
        scaling = deployment.get("autoscaling_config", {})
        if scaling.get("min_replicas", 1) and (
            gpus_of(application) or "gateway" in application["name"]
        ):
            assert deployment["max_surge_percent"] > 0, application["name"]


def test_scaling_down_waits_at_least_as_long_as_it_looks_back(applications):
    for application in applications:
        if scaling := deployment_of(application).get("autoscaling_config"):
            assert scaling["downscale_delay_s"] >= scaling["look_back_period_s"]


def test_one_model_sleeps_and_the_gateway_is_never_alone(applications):
    least = {
        a["name"]: deployment_of(a)["autoscaling_config"]["min_replicas"]
        for a in applications
        if "autoscaling_config" in deployment_of(a)
    }
    assert least["gateway"] >= 2
    assert 0 in least.values()


def test_embeddings_run_on_the_gpu(applications):
    engine = next(a for a in applications if a["name"].startswith("bge"))["args"]["engine"]
    assert engine["device"] == "cuda"


def test_documents_are_reranked_by_a_cross_encoder_within_its_share(applications):
    """The embedding model can rank too, and is not asked."""
    application = next(
        a for a in applications if a["args"].get("spec") == "deployments.rerank:SPEC"
    )
    settings = RerankSettings.model_validate(application["args"]["engine"])
    assert Catalog(cards(applications).models).find(None, "rerank").card.id == settings.name
    windows = {card.application_name: card.context_window for card in cards(applications).models}
    assert windows[application["name"]] == settings.window
    assert settings.device == "cuda"
    assert settings.memory_fraction is not None
    assert settings.memory_fraction <= gpus_of(application)
    rag = next(a for a in applications if a["name"] == "rag")
    assert rag["args"]["engine"]["reranker"] == application["name"]
