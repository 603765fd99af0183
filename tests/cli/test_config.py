"""The strict check: what Serve would silently ignore is refused, with its path."""

import copy
from pathlib import Path
from typing import Any

import pytest

from cli.config import check, read_config
from core.errors import SettingsError
from core.settings import ROOT

GOOD: dict[str, Any] = {
    "proxy_location": "EveryNode",
    "http_options": {"host": "127.0.0.1", "port": 8000},
    "logging_config": {"encoding": "JSON"},
    "applications": [
        {
            "name": "gateway",
            "route_prefix": "/",
            "import_path": "graphs.gateway:build",
            "args": {},
            "deployments": [
                {
                    "name": "Gateway",
                    "user_config": {"models": [{"id": "echo", "spec": "deployments.echo:SPEC"}]},
                }
            ],
        },
        {
            "name": "echo",
            "route_prefix": None,
            "import_path": "graphs.model:build",
            "args": {"spec": "deployments.echo:SPEC"},
            "runtime_env": {"env_vars": {"A": "b"}},
            "deployments": [
                {
                    "name": "Echo",
                    "autoscaling_config": {
                        "min_replicas": 1,
                        "max_replicas": 2,
                        "policy": {"policy_kwargs": {"anything": "goes"}},
                    },
                    "ray_actor_options": {"num_cpus": 0.1, "resources": {"any_name": 1}},
                    "backpressure_config": {"status_code": 429},
                    "request_router_config": {"request_router_kwargs": {"any": 1}},
                }
            ],
        },
    ],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """GOOD with `value` at `path`, whose parts are keys and list indexes."""
    document = copy.deepcopy(GOOD)
    *parents, last = [int(part) if part.isdecimal() else part for part in path.split("/")]
    target: Any = document
    for parent in parents:
        target = target[parent]
    target[last] = value
    return document


def refusal(document: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        check(document, "test.yaml")
    return str(caught.value)


def test_a_good_configuration_passes_and_names_its_deployments():
    config = check(copy.deepcopy(GOOD), "test.yaml")
    assert config.deployments == {"gateway": ("Gateway",), "echo": ("Echo",)}
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("http_option", "http_options"),
        ("http_options/prot", "port"),
        ("logging_config/encodings", "encoding"),
        ("applications/1/importpath", "import_path"),
        ("applications/1/runtime_env/env_var", "env_vars"),
        ("applications/1/deployments/0/num_replica", "num_replicas"),
        ("applications/1/deployments/0/max_ongoing_request", "max_ongoing_requests"),
        ("applications/1/deployments/0/autoscaling_config/min_replica", "min_replicas"),
        ("applications/1/deployments/0/autoscaling_config/policy/policy_kwarg", "policy_kwargs"),
        ("applications/1/deployments/0/ray_actor_options/num_gpu", "num_gpus"),
        ("applications/1/deployments/0/ray_actor_options/runtime_envs", "runtime_env"),
        ("applications/1/deployments/0/backpressure_config/status", "status_code"),
        (
            "applications/1/deployments/0/request_router_config/request_router_clas",
            "request_router_class",
        ),
    ],
)
def test_a_typo_at_any_level_is_named_with_what_was_meant(path, meant):
    message = refusal(changed(path, 1))
    assert path.rpartition("/")[2] in message
    assert f"did you mean '{meant}'?" in message


def test_the_path_of_a_fault_names_application_and_deployment():
    message = refusal(changed("applications/1/deployments/0/autoscaling_config/max_replica", 1))
    assert "applications[echo].deployments[Echo].autoscaling_config.max_replica:" in message


def test_every_fault_is_reported_at_once():
    document = changed("http_option", {})
    document["applications"][1]["nam"] = "x"
    message = refusal(document)
    assert "http_option:" in message
    assert "nam:" in message


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("applications", [], "names no application"),
        ("http_options/port", "many", "valid integer"),
        ("applications/1/args/coalesc_ms", 1, "args.coalesc_ms: Extra inputs are not permitted"),
        ("applications/1/args/engine", {"nmae": "x"}, "engine of deployments.echo:SPEC: nmae"),
        ("applications/1/args/spec", "deployments.echo:NOPE", "cannot import"),
        ("applications/1/import_path", "graphs.model:nope", "cannot import"),
        ("applications/1/import_path", "graphs.model:deployment_options", "typed builder"),
        ("applications/1/deployments/0/name", "Ecko", "the application has only Echo"),
        ("applications/1/route_prefix", "/echo", "must be null for a model"),
        ("applications/1/name", "gateway", "multiple configs"),
        ("applications/1/name", "other", "there is no application 'echo'"),
        ("applications/0/deployments/0/user_config/models/0/spec", "deployments.llm:SPEC", "runs"),
        ("applications/0/deployments/0/user_config/models/0/nam", "x", "Extra inputs"),
        (
            "applications/1/deployments/0/autoscaling_config",
            {"downscale_delay_s": 10, "look_back_period_s": 30},
            "must not be below look_back_period_s",
        ),
        ("applications/1/deployments/0/ray_actor_options/num_gpus", 1.5, "cannot be given"),
    ],
)
def test_what_serve_would_find_out_too_late_is_refused(path, value, fault):
    assert fault in refusal(changed(path, value))


def test_a_model_without_a_route_prefix_would_bypass_the_gateway():
    document = copy.deepcopy(GOOD)
    document["applications"][0]["route_prefix"] = "/api"
    del document["applications"][1]["route_prefix"]
    assert "must be null for a model" in refusal(document)


def test_a_model_that_no_gateway_lists_is_a_warning():
    config = check(changed("applications/0/deployments/0/user_config/models", []), "test.yaml")
    assert config.warnings == ("applications[echo]: no gateway lists it; only handles reach it",)


def test_an_engine_that_takes_more_than_its_share_of_a_gpu_is_refused(tmp_path):
    document = copy.deepcopy(GOOD)
    application = document["applications"][1]
    application["import_path"] = "graphs.model:build"
    application["args"] = {
        "spec": "deployments.llm:SPEC",
        "engine": {
            "name": "m",
            "source": str(tmp_path),
            "options": {"gpu-memory-utilization": 0.9},
        },
    }
    application["deployments"] = [{"name": "Llm", "ray_actor_options": {"num_gpus": 0.5}}]
    document["applications"][0]["deployments"][0]["user_config"]["models"] = []
    assert "takes 0.9 of the memory" in refusal(document)


def with_memory_fraction(fraction: Any, share: float | None) -> dict[str, Any]:
    """A configuration with an embedding model on a GPU."""
    document = copy.deepcopy(GOOD)
    application = document["applications"][1]
    application["args"] = {
        "spec": "deployments.embeddings:SPEC",
        "engine": {
            "name": "m",
            "source": "package:m",
            "device": "cuda",
            "memory_fraction": fraction,
        },
    }
    options = {} if share is None else {"ray_actor_options": {"num_gpus": share}}
    application["deployments"] = [{"name": "Embeddings"} | options]
    document["applications"][0]["deployments"][0]["user_config"]["models"] = []
    return document


@pytest.mark.parametrize("fraction", [0.3, "0.3"])
def test_a_model_that_takes_more_memory_than_its_share_of_a_gpu_is_refused(fraction):
    message = refusal(with_memory_fraction(fraction, 0.25))
    assert "applications[echo].deployments[Embeddings]: takes 0.25 of a GPU" in message
    assert "takes 0.3 of the memory (memory_fraction)" in message


@pytest.mark.parametrize(("fraction", "share"), [(0.25, 0.25), (0.9, 2), (0.9, None), (None, 0.1)])
def test_a_model_within_its_share_of_a_gpu_passes(fraction, share):
    check(with_memory_fraction(fraction, share), "test.yaml")


VIDEO_LIMITS = {"sizes": ["64x64"], "fps": [4], "max_frames": 17}


def with_limits(card: dict[str, Any], engine: dict[str, Any]) -> dict[str, Any]:
    """A configuration with a video model."""
    document = copy.deepcopy(GOOD)
    models = document["applications"][0]["deployments"][0]["user_config"]["models"]
    models.append({"id": "film", "spec": "deployments.video:SPEC", "limits": card})
    document["applications"].append(
        {
            "name": "film",
            "route_prefix": None,
            "import_path": "graphs.model:build",
            "args": {
                "spec": "deployments.video:SPEC",
                "engine": {"name": "film", "source": "starter:starter_video", "limits": engine},
            },
            "deployments": [{"name": "Video", "num_replicas": 1}],
        }
    )
    return document


def test_a_card_that_promises_what_its_engine_refuses_is_a_fault():
    check(with_limits(VIDEO_LIMITS, VIDEO_LIMITS), "here")
    wider = VIDEO_LIMITS | {"fps": [4, 8]}
    assert "its limits are not those of its engine" in refusal(with_limits(wider, VIDEO_LIMITS))


def test_a_card_with_limits_that_its_family_does_not_know_is_a_fault():
    text = refusal(with_limits({"colours": 3}, VIDEO_LIMITS))
    assert "limits of the model 'film'" in text


def test_a_key_written_twice_is_refused_with_its_line(tmp_path):
    file = tmp_path / "twice.yaml"
    file.write_text("applications: []\nhttp_options: {}\napplications: []\n")
    with pytest.raises(SettingsError, match=r"'applications' twice(.|\n)*line 3"):
        read_config(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"nowhere\.yaml does not exist"):
        read_config(tmp_path / "nowhere.yaml")


def test_the_port_of_a_run_replaces_the_files_and_nothing_else():
    config = check(copy.deepcopy(GOOD), "test.yaml")
    assert config.with_port(9000)["http_options"] == {"host": "127.0.0.1", "port": 9000}
    assert config.with_port(None) == GOOD


@pytest.mark.parametrize(
    "path", sorted(Path(ROOT).glob("serve_config*.yaml")), ids=lambda p: p.name
)
def test_the_configurations_of_this_repository_pass(path):
    assert "gateway" in read_config(path).application_names
