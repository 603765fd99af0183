"""Files under `deploy/`: readable, and about metrics and applications that exist."""

import json
import re
from typing import Any

import pytest
import yaml

from cli.config import check
from cli.node_environment import NODE_ENVIRONMENT
from core.settings import ROOT
from ingress.media.settings import MediaSettings
from ingress.uploads import largest_body
from tests.docs.sources import metric_names
from tests.docs.test_reference import every_endpoint

DEPLOY = ROOT / "deploy"
DASHBOARD = DEPLOY / "grafana" / "carillon.json"
RULES = DEPLOY / "prometheus" / "rules.yml"
SUFFIXES = ("_bucket_total", "_sum_total", "_count_total", "_total", "")


def exported(text: str) -> set[str]:
    """Our metrics that a text names, without what the exporter adds."""
    found = set(re.findall(r"ray_(carillon_\w+)", text))
    return {next(n.removesuffix(s) for s in SUFFIXES if n.endswith(s)) for n in found}


def test_the_dashboard_shows_every_metric_and_no_other():
    dashboard = json.loads(DASHBOARD.read_text())
    expressions = " ".join(t["expr"] for p in dashboard["panels"] for t in p["targets"])
    assert exported(expressions) == metric_names()


def test_alerts_are_about_metrics_that_exist():
    assert exported(RULES.read_text()) <= metric_names()
    assert yaml.safe_load(RULES.read_text())["groups"]


def test_prometheus_finds_nodes_through_ray():
    document = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    discovery = document["scrape_configs"][0]["http_sd_configs"][0]
    assert discovery["url"].endswith("/api/prometheus/sd")
    assert discovery["authorization"]["credentials_file"]


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / "kuberay" / "rayservice.yaml").read_text())
    return document


def test_the_kubernetes_example_holds_a_valid_configuration(service):
    checked = check(yaml.safe_load(service["spec"]["serveConfigV2"]), "serveConfigV2")
    assert checked.warnings == ()


def test_the_kubernetes_example_runs_our_version_of_ray(service):
    import ray

    assert service["spec"]["rayClusterConfig"]["rayVersion"] == ray.__version__


def test_the_kubernetes_example_wants_a_token_on_every_node(service):
    assert service["spec"]["rayClusterConfig"]["authOptions"]["mode"] == "token"


def containers(service) -> list[dict[str, Any]]:
    cluster = service["spec"]["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [each for group in groups for each in group["template"]["spec"]["containers"]]


def test_every_node_on_kubernetes_has_the_environment_of_a_node(service):
    assert len(containers(service)) > 1
    for container in containers(service):
        set_there = {entry["name"]: entry.get("value") for entry in container["env"]}
        assert set_there.items() >= NODE_ENVIRONMENT.items(), container["name"]


@pytest.mark.parametrize("node", ["head", "worker"])
def test_every_machine_of_the_launcher_has_the_environment_of_a_node(node):
    commands = yaml.safe_load((ROOT / "cluster.yaml").read_text())[f"{node}_start_ray_commands"]
    exported = commands[-1].partition("export ")[2].partition(";")[0]
    set_there = dict(pair.split("=", 1) for pair in exported.split())
    assert set_there.items() >= NODE_ENVIRONMENT.items()


def test_nginx_lets_every_upload_through_that_the_gateway_takes():
    text = (DEPLOY / "nginx.conf").read_text()
    (limit,) = re.findall(r"client_max_body_size (\d+)m;", text)
    largest = max(largest_body(every_endpoint()), MediaSettings().upload_bytes)
    assert largest < int(limit) * 2**20 < 1.25 * largest
