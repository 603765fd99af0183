"""TCP ports: is one free, and which one to take instead.

Place: before anything is started. It binds nothing for longer than the question takes.
"""

import socket
from collections.abc import Iterable

from cli.failure import Failure

LOOPBACK = "127.0.0.1"
ALL_INTERFACES = "0.0.0.0"  # noqa: S104 - asked about, not listened on


def is_free(port: int) -> bool:
    """Whether nobody listens on `port`, on any interface."""
    for host in (LOOPBACK, ALL_INTERFACES):
        with socket.socket() as probe:
            # Ports of connections closed a moment ago are free; ports listened on are not.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def require_free(port: int, variable: str) -> None:
    """Raise Failure when `port` is taken, naming the variable that chooses another."""
    if not is_free(port):
        raise Failure(f"port {port} is in use. Choose another: {variable}={port + 1} make serve")


def choose(preferred: Iterable[int]) -> list[int]:
    """For each preferred port: itself when free, else one that the system names. All differ."""
    chosen: list[int] = []
    for port in preferred:
        chosen.append(port if is_free(port) and port not in chosen else _any_free(chosen))
    return chosen


def _any_free(taken: list[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind((ALL_INTERFACES, 0))
            port: int = probe.getsockname()[1]
        if port not in taken:
            return port
