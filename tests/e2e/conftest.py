"""One person per plan, over the session's cluster (`tests/conftest.py` starts it)."""

from collections.abc import AsyncGenerator, Callable

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.people import Person, newcomer
from tests.e2e.store import Store, opened

ROOMY = {
    "requests": {"month": 10_000},
    "tokens": {"month": 10_000_000},
    "money": {"month": "1000"},
    "concurrency": 1_000,
}
FIGURES: list[tuple[str, float, str]] = []


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
def counted(cluster: Cluster) -> Person:
    """One with room for everything, whose key has a window of each kind that tests add up."""
    return newcomer(cluster, "enterprise", ROOMY)


@pytest.fixture
async def store(cluster: Cluster) -> AsyncGenerator[Store]:
    async with opened(cluster) as store:
        yield store


@pytest.fixture
def figure() -> Callable[[str, float, str], None]:
    """Writes a measured figure under what it is of; all are shown at the end of the run."""

    def note(name: str, value: float, unit: str) -> None:
        FIGURES.append((name, value, unit))

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("figures")
    for name, value, unit in FIGURES:
        terminalreporter.write_line(f"{value:12.2f} {unit:3} {name}")


@pytest.fixture
def operator(cluster: Cluster) -> Person:
    return Person(cluster, "operator", cluster.api_key)
