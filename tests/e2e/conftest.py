"""One person per plan, over the session's cluster (`tests/conftest.py` starts it)."""

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.people import Person, newcomer


@pytest.fixture
def free(cluster: Cluster) -> Person:
    return newcomer(cluster, "free")


@pytest.fixture
def pro(cluster: Cluster) -> Person:
    return newcomer(cluster, "pro")


@pytest.fixture
def other(cluster: Cluster) -> Person:
    return newcomer(cluster, "pro")


@pytest.fixture
def operator(cluster: Cluster) -> Person:
    return Person(cluster, "operator", cluster.api_key)
