"""What a look at Serve's controller says of an application: replicas, and what it takes."""

from typing import Any

import pytest
from ray.serve.schema import ApplicationDetails

from ingress import readiness
from ingress.readiness import ApplicationState, Intake


def deployment(name: str, running: int, **config: Any) -> dict[str, Any]:
    """As the controller tells it; replicas that start are not counted."""
    states = ["RUNNING"] * running + ["STARTING"]
    replicas = [
        {"replica_id": f"{name}{number}", "state": state, "start_time_s": 0.0}
        for number, state in enumerate(states)
    ]
    config = {"max_ongoing_requests": 5, "max_queued_requests": -1} | config
    return {
        "name": name,
        "status": "HEALTHY",
        "status_trigger": "CONFIG_UPDATE_COMPLETED",
        "message": "",
        "deployment_config": {"name": name} | config,
        "target_num_replicas": 2,
        "required_resources": {},
        "replicas": replicas,
    }


def application(*deployments: dict[str, Any], called: str | None = None) -> dict[str, Any]:
    topology: dict[str, Any] = {"app_name": "model", "nodes": {}, "ingress_deployment": called}
    return {
        "name": "model",
        "route_prefix": None,
        "docs_path": None,
        "status": "RUNNING",
        "message": "",
        "last_deployed_time_s": 7.0,
        "deployed_app_config": None,
        "source": "declarative",
        "external_scaler_enabled": False,
        "deployments": {told["name"]: told for told in deployments},
        "deployment_topology": topology if called else None,
    }


@pytest.fixture
def look(monkeypatch):
    def looked(told: dict[str, Any]) -> ApplicationState:
        # As the controller makes it: a look must not read what Serve does not send.
        whole = ApplicationDetails(**told)
        sent = {"applications": {"model": whole.model_dump(mode="json", exclude_unset=True)}}

        class Client:
            def get_serve_details(self):
                return sent

        monkeypatch.setattr(readiness, "_get_global_client", lambda **_: Client())
        return readiness._poll()["model"]

    return looked


def test_a_model_takes_what_its_deployment_says(look):
    told = look(application(deployment("Llm", 1, max_ongoing_requests=64, max_queued_requests=128)))
    assert (told.status, told.replicas, told.since) == ("RUNNING", 1, 7.0)
    assert told.intake == Intake(replicas=1, most_replicas=2, per_replica=64, queue=128)


def test_an_autoscaled_model_may_come_to_have_more_replicas(look):
    scaling = {"min_replicas": 0, "max_replicas": 5}
    told = look(application(deployment("Image", 0, autoscaling_config=scaling)))
    assert told.asleep
    assert (told.intake.replicas, told.intake.most_replicas) == (0, 5)


def test_of_several_deployments_the_one_that_is_called_counts(look):
    parts = (
        deployment("Graph", 1, max_ongoing_requests=10),
        deployment("Part", 3, max_ongoing_requests=99),
    )
    told = look(application(*parts, called="Graph"))
    assert (told.replicas, told.intake.per_replica, told.intake.replicas) == (4, 10, 1)
    assert look(application(*parts)).intake is None


def test_without_a_controller_nothing_is_known(monkeypatch):
    monkeypatch.setattr(readiness, "_get_global_client", lambda **_: None)
    assert readiness._poll() == {}
