"""Network flows of one source in one minute: ordinary hosts, and four attacks.

Place in the path: training and evaluation only. The figures are invented to be plausible, not
captured from anybody's network.
"""

from typing import Any, NamedTuple

import numpy as np

from core.fraud_features import PROTOCOLS
from models.starter_fraud.drawing import Cause, Columns, Generator, World, some

TCP, UDP, ICMP = map(float, range(len(PROTOCOLS)))


class Habit(NamedTuple):
    """What one kind of host does. Logarithms are natural, of the median."""

    share: float
    log_out: float
    log_in: float
    log_duration: float
    protocol: float
    hosts: float
    connections: float
    sources: float
    external: float


HABITS = (
    Habit(0.55, 9.5, 12.0, 0.8, TCP, 4, 9, 2, 0.9),  # browsing
    Habit(0.15, 6.0, 7.0, -2.5, UDP, 0.3, 5, 15, 0.2),  # names
    Habit(0.08, 9.0, 10.0, 4.5, TCP, 0.1, 0.6, 1, 0.3),  # remote shells
    Habit(0.05, 18.5, 12.0, 4.5, TCP, 0.1, 2, 1, 0.1),  # backups
    Habit(0.08, 10.5, 16.5, 4.0, UDP, 0.5, 3, 2, 1.0),  # films
    Habit(0.05, 15.0, 14.0, 0.5, TCP, 15, 60, 50, 0.3),  # busy servers
    Habit(0.03, 17.0, 11.0, 3.5, TCP, 0.2, 2, 2, 1.0),  # uploads
    Habit(0.01, 6.5, 6.5, -1.0, ICMP, 8, 12, 2, 0.3),  # monitoring
)


def ordinary(rng: Generator, count: int) -> Columns:
    """Hosts with habits, some of them at odd hours, some with typing errors in passwords."""
    which = rng.choice(len(HABITS), count, p=[habit.share for habit in HABITS])
    habit = Habit(*(np.array(values)[which] for values in zip(*HABITS, strict=True)))  # type: ignore[arg-type]
    bytes_out = rng.lognormal(habit.log_out, 0.9)
    bytes_in = rng.lognormal(habit.log_in, 0.9)
    failed = some(rng, rng.poisson(0.03, count), 0.02, rng.poisson(2, count))
    return {
        "bytes_out": np.round(bytes_out),
        "bytes_in": np.round(bytes_in),
        "packets_out": _packets(rng, bytes_out, 250, 1200),
        "packets_in": _packets(rng, bytes_in, 300, 1300),
        "duration_s": rng.lognormal(habit.log_duration, 0.8),
        "protocol": some(rng, habit.protocol, 0.03, TCP),
        "distinct_ports": 1.0 + rng.poisson(0.5, count),
        "distinct_hosts": 1.0 + rng.poisson(habit.hosts),
        "connections": 1.0 + rng.poisson(habit.connections * rng.lognormal(0, 0.4, count)),
        "sources": 1.0 + rng.poisson(habit.sources * rng.lognormal(0, 0.4, count)),
        "unanswered_share": some(rng, rng.beta(1, 25, count), 0.03, rng.beta(2, 5, count)),
        "failed_logins": failed.astype(float),
        "external": (rng.random(count) < habit.external).astype(float),
        "destination_age_days": some(rng, rng.exponential(300, count), 0.06, rng.random(count)),
        "hour": some(rng, rng.normal(13.5, 3.5, count) % 24, 0.15, rng.uniform(0, 24, count)),
    }


def _port_scan(rng: Generator, before: Columns) -> Columns:
    """Many ports of one host, or one port of many hosts; hardly anybody answers."""
    count = len(before["hour"])
    many, few = 15 + rng.lognormal(4.2, 0.9, count), 1.0 + rng.poisson(1, count)
    vertical = rng.random(count) < 0.6
    tried = np.round(many)
    bytes_out, bytes_in = tried * rng.uniform(40, 80, count), tried * rng.uniform(5, 40, count)
    return {
        "distinct_ports": np.where(vertical, tried, few),
        "distinct_hosts": np.where(vertical, few, tried),
        "connections": np.round(tried * rng.uniform(1, 1.3, count)),
        "unanswered_share": rng.beta(9, 2, count),
        "bytes_out": np.round(bytes_out),
        "bytes_in": np.round(bytes_in),
        "packets_out": _packets(rng, bytes_out, 40, 60),
        "packets_in": _packets(rng, bytes_in, 40, 60),
        "duration_s": rng.lognormal(-3, 0.6, count),
        "protocol": np.full(count, TCP),
    }


def _exfiltration(rng: Generator, before: Columns) -> Columns:
    """Much data to a place that nobody has talked to before, when nobody looks."""
    count = len(before["hour"])
    bytes_out, bytes_in = rng.lognormal(18.3, 0.8, count), rng.lognormal(11, 0.8, count)
    return {
        "bytes_out": np.round(bytes_out),
        "bytes_in": np.round(bytes_in),
        "packets_out": _packets(rng, bytes_out, 900, 1300),
        "packets_in": _packets(rng, bytes_in, 60, 400),
        "duration_s": rng.lognormal(3.8, 0.6, count),
        "external": np.ones(count),
        "destination_age_days": rng.uniform(0, 1, count),
        "hour": rng.uniform(0, 5.5, count),
        "protocol": np.full(count, TCP),
    }


def _ddos(rng: Generator, before: Columns) -> Columns:
    """One of a crowd that floods one destination, which no longer answers."""
    count = len(before["hour"])
    packets = np.round(rng.lognormal(9.2, 0.8, count))
    return {
        "sources": np.round(150 + rng.lognormal(6.8, 0.9, count)),
        "connections": np.round(rng.lognormal(6.3, 0.8, count)),
        "packets_out": packets,
        "bytes_out": packets * rng.uniform(45, 120, count),
        "bytes_in": np.round(rng.lognormal(6, 1, count)),
        "unanswered_share": rng.beta(7, 2.5, count),
        "duration_s": rng.lognormal(-2.5, 0.8, count),
        "protocol": rng.integers(0, len(PROTOCOLS), count).astype(float),
    }


def _brute_force(rng: Generator, before: Columns) -> Columns:
    """One password after another."""
    count = len(before["hour"])
    failed = 6.0 + rng.poisson(rng.lognormal(3.2, 0.6, count))
    return {
        "failed_logins": failed,
        "connections": failed + rng.poisson(5, count),
        "duration_s": rng.lognormal(0, 0.5, count),
        "protocol": np.full(count, TCP),
        "external": (rng.random(count) < 0.3).astype(float),
    }


def _dns_tunnel(rng: Generator, before: Columns) -> Columns:
    """Data carried out in questions to a name server: many, small, and never ending."""
    count = len(before["hour"])
    asked = np.round(rng.lognormal(6.8, 0.5, count))
    bytes_out, bytes_in = asked * rng.uniform(150, 230, count), asked * rng.uniform(60, 120, count)
    return {
        "protocol": np.full(count, UDP),
        "connections": asked,
        "distinct_hosts": np.ones(count),
        "distinct_ports": np.ones(count),
        "bytes_out": np.round(bytes_out),
        "bytes_in": np.round(bytes_in),
        "packets_out": asked,
        "packets_in": asked,
        "duration_s": rng.lognormal(-2.5, 0.4, count),
    }


def _packets(rng: Generator, size: Any, least: float, most: float) -> Any:
    return np.round(size / rng.uniform(least, most, len(size))) + 1.0


NETWORK = World(
    kind="network",
    share=0.03,
    ordinary=ordinary,
    causes={
        "port scan": Cause(
            _port_scan,
            frozenset({"distinct_ports", "distinct_hosts", "connections", "unanswered_share"}),
        ),
        "exfiltration": Cause(
            _exfiltration,
            frozenset(
                {
                    "bytes_out",
                    "packets_out",
                    "destination_age_days",
                    "hour",
                    "external",
                }
            ),
        ),
        "denial of service": Cause(
            _ddos,
            frozenset({"sources", "connections", "packets_out", "unanswered_share", "bytes_in"}),
        ),
        "password guessing": Cause(_brute_force, frozenset({"failed_logins", "connections"})),
    },
    unseen={
        "name server tunnel": Cause(
            _dns_tunnel, frozenset({"connections", "packets_out", "protocol"})
        )
    },
    rising=frozenset({"distinct_ports", "failed_logins", "sources", "unanswered_share"}),
    falling=frozenset({"destination_age_days"}),
)
