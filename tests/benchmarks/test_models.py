"""Rows that follow from the configuration: every model that sleeps can be called."""

import pytest
import yaml

from benchmarks.cluster import CONFIG
from benchmarks.wake_rows import call_of

APPLICATIONS = yaml.safe_load(CONFIG.read_text())["applications"]


def sleeps(application):
    return any(
        deployment.get("autoscaling_config", {}).get("min_replicas") == 0
        for deployment in application.get("deployments", ())
    )


@pytest.mark.parametrize("model", [each["name"] for each in APPLICATIONS if sleeps(each)])
def test_a_model_that_sleeps_has_a_call_that_wakes_it(model):
    call = call_of(model)
    fields = call.get("json") or call["data"]
    assert fields["model"] == model
    assert call["url"].startswith("/v1/")
