"""`carillon scale`: one deployment changes, in the way that was asked for."""

import pytest

from cli.failure import Failure
from cli.scale import Size, scaled

CONFIG = {
    "applications": [
        {"name": "gateway", "deployments": [{"name": "Gateway", "num_replicas": 1}]},
        {
            "name": "painter",
            "deployments": [
                {
                    "name": "Image",
                    "autoscaling_config": {
                        "min_replicas": 0,
                        "max_replicas": 1,
                        "initial_replicas": 0,
                        "downscale_delay_s": 600,
                    },
                }
            ],
        },
    ]
}


def deployment_of(config, name):
    return next(app for app in config["applications"] if app["name"] == name)["deployments"][0]


def test_a_number_fixes_the_replicas_and_leaves_the_rest():
    after = scaled(CONFIG, "painter", Size.parse("2"))
    assert deployment_of(after, "painter") == {"name": "Image", "num_replicas": 2}
    assert deployment_of(after, "gateway") == deployment_of(CONFIG, "gateway")


def test_a_range_moves_the_autoscalers_bounds_and_keeps_its_delays():
    after = scaled(CONFIG, "painter", Size.parse("1-4"))
    assert deployment_of(after, "painter")["autoscaling_config"] == {
        "min_replicas": 1,
        "max_replicas": 4,
        "downscale_delay_s": 600,
    }
    assert deployment_of(CONFIG, "painter")["autoscaling_config"]["max_replicas"] == 1


def test_a_range_makes_a_fixed_model_autoscale():
    after = scaled(CONFIG, "gateway", Size.parse("1-3"))
    assert deployment_of(after, "gateway") == {
        "name": "Gateway",
        "autoscaling_config": {"min_replicas": 1, "max_replicas": 3},
    }


@pytest.mark.parametrize("size", ["", "two", "-1", "3-1", "0", "1-2-3"])
def test_a_size_that_makes_no_sense_is_refused(size):
    with pytest.raises(Failure):
        Size.parse(size)


def test_an_unknown_application_is_named_with_those_there_are():
    with pytest.raises(Failure, match="gateway, painter"):
        scaled(CONFIG, "printer", Size.parse("1"))
