"""The Ray head of this installation: its environment, its command, its process.

Place: started by `up` after the stores. Ray listens on loopback, wants a token, and takes ports
that are free, so that another Ray on the machine is neither found nor disturbed. `ray stop` ends
every Ray of the machine and is therefore never used.
"""

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cli import processes
from cli.embedded import Child, last_lines
from cli.failure import Failure
from cli.node_environment import NODE_ENVIRONMENT
from cli.ports import LOOPBACK, choose
from cli.serve_api import ServeApi
from cli.short_paths import ShortPaths
from core.settings import ROOT, child_environment, environment

ANSWER_S = 100.0
"""How long one launch may take to answer; a head that hangs after it never comes back."""
POLL_S = 0.1
GRACE_S = 5.0
GIVEN_UP = "timed out during startup"
"""Ray's words when its raylet has not registered within 30 s, which a busy machine may need."""
STARTS = 3
DASHBOARD_LOG = "session_latest/logs/dashboard.log"
SESSIONS_KEPT = 3
OBJECT_STORE_BYTES = 256 * 2**20
SESSION_PATH_ROOM = len("/session_2026-11-21_05-23-28_123456_1234567/sockets/plasma_store.1")
DRAIN_S = 3
LOOPBACK_ONLY = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Set to 0, it keeps Ray on 127.0.0.1; without it `--node-ip-address=127.0.0.1` is silently
replaced by the address of a network interface (`resolve_ip_for_localhost` in Ray's services.py).
Whoever connects to the cluster needs it too: see `carillon env`."""


@dataclass(frozen=True, slots=True)
class RayPorts:
    """Ports of one Ray head. Preferred ones are the defaults that people know."""

    gcs: int
    dashboard: int
    dashboard_agent: int
    haproxy_stats: int
    haproxy_metrics: int
    fallback_proxy: int
    client: int

    @classmethod
    def chosen(cls) -> "RayPorts":
        return cls(*choose((6379, 8265, 52365, 8404, 9101, 8500, 10001)))


class RayHead:
    """One Ray head node.

    Args:
        state: the state directory.
        short: names for directories that are too deep for sockets.
        run_id: mark for every process of the run.
        token: file with the Ray token.
    """

    def __init__(self, state: Path, short: ShortPaths, run_id: str, token: Path) -> None:
        self.ports = RayPorts.chosen()
        self.log = state / "logs" / "ray-head.log"
        self.run_id = run_id
        self._state = state
        self._short = short
        self._token = token
        self._sessions = state / "ray"
        self._child: Child | None = None
        self._launches = 0
        self._stores: Mapping[str, str] = {}

    @property
    def dashboard_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.dashboard}"

    @property
    def gcs_address(self) -> str:
        return f"{LOOPBACK}:{self.ports.gcs}"

    def start(self, stores: Mapping[str, str]) -> None:
        """Launch the head; `stores` are the URLs that replicas need. Does not wait."""
        self._stores = stores
        self._sessions.mkdir(parents=True, exist_ok=True)
        _forget_old_sessions(self._sessions)
        self._launch()

    def _launch(self) -> None:
        temporary = self._short.of(self._sessions, SESSION_PATH_ROOM)
        self._launches += 1
        with self.log.open("wb") as log:
            self._child = subprocess.Popen(
                self._command(temporary),
                cwd=ROOT,
                env=child_environment(self._environment(self._stores)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self, api: ServeApi) -> None:
        """Return when the head takes requests. Raises Failure when it does not start."""
        deadline = time.monotonic() + ANSWER_S
        while not api.is_up():
            if not self.is_alive():
                self._launch_again(may=GIVEN_UP in last_lines(self.log))
                deadline = time.monotonic() + ANSWER_S
            elif time.monotonic() > deadline:
                self._launch_again(may=True)
                deadline = time.monotonic() + ANSWER_S
            time.sleep(POLL_S)

    def _launch_again(self, may: bool) -> None:
        if self._launches == STARTS or not may:
            raise Failure(f"Ray does not start:\n{self._last_words()}")
        processes.end(processes.marked(self.run_id), GRACE_S)
        self._launch()

    def _last_words(self) -> str:
        """What the head said, and its dashboard, which is the part that is waited for."""
        return "\n".join(map(last_lines, (self.log, self._sessions / DASHBOARD_LOG)))

    def is_alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def stop(self, grace_s: float) -> None:
        """End the head and everything that it started."""
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(grace_s)
        processes.end(processes.marked(self.run_id), grace_s)
        if self._child is not None:
            self._child.wait()

    def _command(self, temporary: Path) -> list[str]:
        ports = self.ports
        return [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
            f"--node-ip-address={LOOPBACK}",
            f"--port={ports.gcs}",
            f"--dashboard-host={LOOPBACK}",
            f"--dashboard-port={ports.dashboard}",
            f"--dashboard-agent-listen-port={ports.dashboard_agent}",
            f"--ray-client-server-port={ports.client}",
            f"--object-store-memory={OBJECT_STORE_BYTES}",
            f"--temp-dir={temporary}",
            "--disable-usage-stats",
            "--no-monitor",  # the autoscaler's, of the cluster launcher
            "--include-log-monitor=false",  # which sends every line of logs to drivers
            *("--log-style=record", "--log-color=false"),
        ]

    def _environment(self, stores: Mapping[str, str]) -> dict[str, str]:
        haproxy = self._haproxy_directory()
        ports = self.ports
        python_path = environment("PYTHONPATH")
        return {
            **stores,
            processes.MARK: self.run_id,
            "SPT_NOENV": "1",  # process titles must not overwrite the environment, and the mark
            "CARILLON_STATE": str(self._state),
            "PYTHONPATH": f"{ROOT}:{python_path}" if python_path else str(ROOT),
            "HF_HUB_OFFLINE": environment("HF_HUB_OFFLINE", "1") or "1",
            LOOPBACK_ONLY: "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self._token),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "180",
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "1",  # Serve has been shut down before
            **NODE_ENVIRONMENT,
            # The controller's loop and the metrics of every process, ten times a second by default,
            # are a tenth of a core on an idle laptop.
            "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
            "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "5000",
            # Engines leave sockets behind: here they go with the short directory, not into /tmp.
            "VLLM_RPC_BASE_PATH": str(haproxy.parent),
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.fallback_proxy),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.haproxy_stats),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.haproxy_metrics),
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "servers"),
            # The defaults (5, 10 and 30 s) kill a proxy that is merely slow on a busy machine, and
            # fail the first deployment with it.
            "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
            "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "30",
            "RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S": "60",
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(DRAIN_S),
        }

    def _haproxy_directory(self) -> Path:
        """HAProxy's sockets lie 70 characters below it, so only a very short path will do."""
        return self._short.private() / "h"


def _forget_old_sessions(sessions: Path) -> None:
    """Ray never removes its session directories; keep the last few for their logs."""
    found = sorted(path for path in sessions.glob("session_2*") if not path.is_symlink())
    for path in found[: 1 - SESSIONS_KEPT]:
        shutil.rmtree(path, ignore_errors=True)
