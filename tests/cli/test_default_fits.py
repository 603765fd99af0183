"""The CPU default on the smallest machine that it is made for."""

import yaml

from core.settings import ROOT
from graphs import gateway, jobs, ledger

CORES = 2
BUILDERS = {
    "gateway": gateway.build(gateway.GatewayArgs()),
    "jobs": jobs.build(jobs.JobsArgs()),
    "ledger": ledger.build(ledger.LedgerArgs()),
}


def reserved(application):
    """Cores that Ray sets aside when every replica of an application runs."""
    (deployment,) = application["deployments"]
    options = deployment.get("ray_actor_options")
    if options is None:
        options = BUILDERS[application["name"]]._bound_deployment.ray_actor_options
    scaling = deployment.get("autoscaling_config") or {}
    replicas = scaling.get("max_replicas") or deployment.get("num_replicas", 1)
    return replicas * options["num_cpus"]


def test_every_model_can_be_awake_on_two_cores_with_room_for_more():
    document = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    assert sum(map(reserved, document["applications"])) <= CORES - 0.05
