"""Ports: taken ones are noticed before anything is started."""

import socket
from collections.abc import Iterator

import pytest

from cli.failure import Failure
from cli.ports import choose, is_free, require_free


@pytest.fixture(params=["127.0.0.1", "0.0.0.0"])
def taken(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port that somebody listens on, sharing it as HAProxy does."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((request.param, 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_in_use_is_named_with_the_way_to_choose_another(taken):
    with pytest.raises(Failure) as caught:
        require_free(taken, "CARILLON_PORT")
    assert f"port {taken} is in use" in str(caught.value)
    assert f"CARILLON_PORT={taken + 1} make serve" in str(caught.value)


def test_a_taken_preference_is_replaced_and_all_differ(taken):
    ports = choose((taken, taken, taken))
    assert taken not in ports
    assert len(set(ports)) == 3


def test_a_free_preference_is_taken_once():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    assert is_free(free)
    first, second = choose((free, free))
    assert first == free
    assert second != free
