"""Which change restarts what, by Ray Serve's rules; checked against Ray's own hash."""

import copy
from typing import Any

import pytest
from ray.serve._private.config import DeploymentConfig
from ray.serve._private.deploy_utils import get_app_code_version
from ray.serve._private.utils import DeploymentOptionUpdateType
from ray.serve.schema import DeploymentSchema, ServeApplicationSchema

from cli.plan import AT_START_ONLY, CONTROLLER_ONLY, RESTARTING, Change, Effect, plan, removed

APPLICATION: dict[str, Any] = {
    "name": "chat",
    "route_prefix": None,
    "import_path": "graphs.model:build",
    "args": {"spec": "deployments.echo:SPEC"},
    "deployments": [{"name": "Echo", "num_replicas": 1, "user_config": {"a": 1}}],
}


def config(*applications: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"applications": list(applications), **rest}


def application(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(APPLICATION), **changes}


def with_option(**options: Any) -> dict[str, Any]:
    changed = application()
    changed["deployments"][0].update(options)
    return changed


def effects(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, Effect]]:
    return [(c.deployment, c.effect) for c in plan(config(old), config(new))]


def test_the_same_configuration_changes_nothing():
    assert plan(config(application()), config(application())) == []


def test_applications_are_added_and_removed():
    changes = plan(config(application()), config(application(name="new")))
    assert changes == [Change("chat", "*", Effect.REMOVED), Change("new", "*", Effect.ADDED)]
    assert removed(changes) == ["chat"]


@pytest.mark.parametrize(
    "change",
    [
        {"import_path": "graphs.other:build"},
        {"args": {"spec": "deployments.llm:SPEC"}},
        {"runtime_env": {"env_vars": {"A": "b"}}},
        {"autoscaling_policy": {"policy_function": "x:y"}},
    ],
)
def test_a_change_of_code_restarts_the_whole_application(change):
    assert effects(application(), application(**change)) == [("*", Effect.RESTARTED)]


@pytest.mark.parametrize(
    ("options", "effect"),
    [
        ({"ray_actor_options": {"num_cpus": 2}}, Effect.RESTARTED),
        ({"max_replicas_per_node": 1}, Effect.RESTARTED),
        ({"placement_group_bundles": [{"CPU": 1}]}, Effect.RESTARTED),
        ({"gang_scheduling_config": {"gang_size": 2}}, Effect.RESTARTED),
        ({"user_config": {"a": 2}}, Effect.RECONFIGURED),
        ({"max_ongoing_requests": 9}, Effect.RECONFIGURED),
        ({"backpressure_config": {"status_code": 429}}, Effect.RECONFIGURED),
        ({"logging_config": {"log_level": "DEBUG"}}, Effect.RECONFIGURED),
        ({"num_replicas": 2}, Effect.SCALED),
        ({"max_queued_requests": 7}, Effect.SCALED),
        ({"health_check_period_s": 3}, Effect.SCALED),
        ({"max_surge_percent": 50}, Effect.SCALED),
    ],
)
def test_each_deployment_option_has_its_effect(options, effect):
    assert effects(application(), with_option(**options)) == [("Echo", effect)]


def test_adding_autoscaling_restarts_everything_because_it_enters_the_code_version():
    new = application(deployments=[{"name": "Echo", "autoscaling_config": {"max_replicas": 2}}])
    assert effects(application(), new) == [("*", Effect.RESTARTED)]


@pytest.mark.parametrize(
    ("change", "effect"),
    [({"max_replicas": 5}, Effect.SCALED), ({"look_back_period_s": 9}, Effect.RECONFIGURED)],
)
def test_changing_autoscaling_restarts_nothing(change, effect):
    def scaled(**more: Any) -> dict[str, Any]:
        options = {"max_replicas": 2, **more}
        return application(deployments=[{"name": "Echo", "autoscaling_config": options}])

    assert effects(scaled(), scaled(**change)) == [("Echo", effect)]


def test_several_effects_on_one_deployment_are_all_told():
    new = with_option(user_config={"a": 2}, num_replicas=3, ray_actor_options={"num_cpus": 1})
    assert [effect for _, effect in effects(application(), new)] == [
        Effect.RESTARTED,
        Effect.RECONFIGURED,
        Effect.SCALED,
    ]


def test_an_option_that_is_no_longer_set_goes_back_to_the_codes_and_is_told():
    assert effects(with_option(max_ongoing_requests=9), application()) == [
        ("Echo", Effect.RECONFIGURED)
    ]


def test_a_route_prefix_is_applied_to_running_replicas():
    assert effects(application(), application(route_prefix="/x")) == [("*", Effect.RECONFIGURED)]


def test_logging_of_the_file_is_every_applications_own():
    shared = {"encoding": "JSON"}
    running = config(application(logging_config=shared))  # Serve reports it so
    assert plan(running, config(application(), logging_config=shared)) == []


@pytest.mark.parametrize("key", AT_START_ONLY)
def test_cluster_options_need_a_new_start(key):
    changes = plan(config(**{key: {"port": 1}}), config(**{key: {"port": 2}}))
    assert changes == [Change("(cluster)", "*", Effect.IGNORED, (f"{key}.port",))]


def test_options_that_ray_reports_beyond_the_file_are_no_change():
    running = config(http_options={"host": "127.0.0.1", "port": 1, "root_path": ""})
    assert plan(running, config(http_options={"port": 1})) == []


@pytest.mark.parametrize(
    "new",
    [
        application(),
        application(args={}),
        application(runtime_env={"env_vars": {"A": "b"}}),
        with_option(num_replicas=4),
        with_option(ray_actor_options={"num_cpus": 1}),
        with_option(request_router_config={"request_router_kwargs": {"a": 1}}),
        application(deployments=[{"name": "Echo", "autoscaling_config": {"max_replicas": 2}}]),
    ],
)
def test_whole_application_restarts_agree_with_rays_code_version(new):
    ray_restarts = get_app_code_version(
        ServeApplicationSchema(**application())
    ) != get_app_code_version(ServeApplicationSchema(**new))
    ours = ("*", Effect.RESTARTED) in effects(application(), new)
    assert ours == ray_restarts


def test_every_option_of_rays_schema_is_classified_as_ray_does():
    """A new Ray version that moves or adds an option fails here, not in production."""
    light = DeploymentOptionUpdateType.LightWeight, DeploymentOptionUpdateType.NeedsReconfigure
    for name in DeploymentSchema.model_fields:
        field = DeploymentConfig.model_fields.get(name)
        if field is None:  # an option of the actors rather than of the deployment
            assert name in {*RESTARTING, "name"}, name
            continue
        extra = field.json_schema_extra
        update = extra["update_type"] if isinstance(extra, dict) else None
        heavy = update is DeploymentOptionUpdateType.HeavyWeight
        assert (name in {*RESTARTING, "deployment_actors"}) == heavy, name
        assert (name in CONTROLLER_ONLY) == (update in light), name
