"""`carillon up`: one cluster in the foreground, from nothing to answering and back.

Place: the composition root of `cli/`. The order of `Up.start` is the order of what happens; what
was started is stopped in reverse. It decides nothing about models or accounts.
"""

import os
import secrets
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from cli import processes
from cli.accounts import prepare
from cli.failure import Failure
from cli.first_wave import FIRST_WAVE_S, GATEWAY, first_model, first_wave
from cli.housekeeping import step_back
from cli.leftovers import sweep
from cli.ports import LOOPBACK, require_free
from cli.processes import ProcessRecord
from cli.progress import Outcome, follow, settled
from cli.ray_head import RayHead
from cli.run_state import RunFile, RunState
from cli.screen import OUT, Steps, warn
from cli.secrets_files import random_token
from cli.serve_api import ServeApi
from cli.short_paths import ShortPaths
from cli.stores import Stores
from core.settings import read_yaml

NEEDED_DISK_BYTES = 2**30
WATCH_S = 1.0
HEALTH_S = 60.0
KNOWN_S = 10.0
STARTING = frozenset({"unknown", "absent", "not_started", "deploying"})
"""What the gateway says of a model that it has not seen running."""
SHUTDOWN_S = 10.0
GRACE_S = 10.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXAMPLE = "Get all users created in last 30 days"


class Up:
    """One run.

    Args:
        config: the file to deploy.
        port: instead of the file's HTTP port.
        state: the state directory.
    """

    def __init__(self, config: Path, port: int | None, state: Path) -> None:
        self.state = state
        self._config = config
        self._port = port
        self._file = RunFile(state)
        self._steps = Steps()
        self._short = ShortPaths(state)
        token = random_token(_usable(state) / "ray-token")
        self._ray = RayHead(state, self._short, secrets.token_hex(8), token)
        self._api = ServeApi(self._ray.dashboard_url, token)
        self._stores = Stores(state, self._short, self._record_stores)
        self._run: RunState | None = None

    def run(self) -> None:
        """Start, serve until told to stop, stop. Raises Failure when something breaks."""
        _signals_interrupt()
        with self._file.lock():
            if count := sweep(self._file, self._short):
                self._steps.say(f"stopped {count} processes of a run that was killed")
            http = _http_options(self._config)
            port = self._port or http.get("port", 8000)
            require_free(port, "CARILLON_PORT")
            try:
                self._start(http.get("host", LOOPBACK), port)
                self._watch()
            except KeyboardInterrupt:
                OUT.print()
            finally:
                self._stop()

    def _start(self, host: str, port: int) -> None:
        self._run = RunState(
            run_id=self._ray.run_id,
            up=processes.record("up", os.getpid()),
            base_url=f"http://{host}:{port}",
            dashboard_url=self._ray.dashboard_url,
            gcs_address=self._ray.gcs_address,
        )
        self._file.write(self._run)
        urls = self._stores.start()
        self._steps.say("PostgreSQL and Valkey answer")
        self._ray.start(urls)
        key = prepare(self.state)  # while Ray starts
        self._steps.say("accounts are ready")
        self._deploy(port)
        self._greet(key)

    def _deploy(self, port: int) -> None:
        from cli.config import read_config

        config = read_config(self._config)
        for warning in config.warnings:
            warn(warning)
        self._steps.say(f"{self._config.name} is valid")
        self._ray.wait(self._api)
        self._steps.say(f"Ray runs; dashboard at {self._ray.dashboard_url}")
        document = config.with_port(port)
        wave = first_wave(document)
        self._api.deploy({**document, "applications": wave})
        names = [application["name"] for application in wave]
        outcomes = settled(self._api, names, self._steps, self._tend, FIRST_WAVE_S)
        self._api.deploy(document)
        known = {outcome.name for outcome in outcomes}
        others = [name for name in config.application_names if name not in known]
        outcomes += follow(self._api, others, self._steps, self._tend)
        _judge(outcomes)
        step_back(processes.marked(self._ray.run_id))
        if GATEWAY in config.application_names:
            self._await_health()

    def _await_health(self) -> None:
        deadline = time.monotonic() + HEALTH_S
        assert self._run is not None
        while not (health := _health(self._run.base_url)):
            self._tend()
            if time.monotonic() > deadline:
                raise Failure(f"{self._run.base_url}/health is not healthy; see carillon status")
            time.sleep(0.2)
        # The gateway looks every few seconds: until then it refuses calls of what runs already.
        deadline = time.monotonic() + KNOWN_S
        while STARTING & set(health.values()) and time.monotonic() < deadline:
            self._tend()
            time.sleep(0.2)
            health = _health(self._run.base_url)

    def _watch(self) -> None:
        while True:
            time.sleep(WATCH_S)
            self._tend()

    def _tend(self) -> None:
        """Revive a store that ended; without Ray there is nothing to tend."""
        for name in self._stores.revive():
            self._steps.say(f"{name} had stopped unexpectedly; it runs again", "yellow")
        if not self._ray.is_alive():
            raise Failure(f"Ray stopped unexpectedly; see {self._ray.log}")

    def _stop(self) -> None:
        """Everything in reverse. A second Ctrl-C cuts the waiting short."""
        try:
            self._steps.say("stopping (Ctrl-C again: at once)")
            if self._ray.is_alive() and self._api.is_up():
                _quietly(lambda: self._api.shutdown(SHUTDOWN_S))
            self._ray.stop(GRACE_S)
            self._stores.stop(GRACE_S)
        except KeyboardInterrupt:
            _ignore_signals()
            self._ray.stop(0.5)
            self._stores.stop(GRACE_S)
        self._short.remove()
        self._file.remove()
        self._steps.say("stopped")

    def _record_stores(self, records: list[ProcessRecord]) -> None:
        if self._run is not None:
            self._run = self._run.model_copy(update={"stores": records})
            self._file.write(self._run)

    def _greet(self, key: Path) -> None:
        assert self._run is not None
        self._steps.say("ready", "bold green")
        model = first_model(read_yaml(self._config))
        OUT.print(greeting(self._run, key, self.state, model.id if model else "starter-chat"))


def greeting(run: RunState, key: Path, state: Path, model: str) -> str:
    """What to do with a running cluster. The curl works as it is pasted, from any directory."""
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "{EXAMPLE}"}}]}}'
    command = shlex.quote(str(Path(sys.executable).with_name("carillon")))
    return f"""
  API        {run.base_url}/v1
  API key    {key}
  dashboard  {run.dashboard_url}  (it asks for the token in {state / "ray-token"})

  curl {run.base_url}/v1/chat/completions \\
    -H "Authorization: Bearer $(cat {shlex.quote(str(key))})" \\
    -H 'Content-Type: application/json' \\
    -d '{body}'

  Ray's own tools, and notebooks: eval "$({command} env)"; serve status
  Ctrl-C or make stop ends it.
"""


def _judge(outcomes: list[Outcome]) -> None:
    """A failed model leaves the others serving; without the gateway nothing can be served."""
    failed = [outcome.name for outcome in outcomes if not outcome.is_running]
    if GATEWAY in failed or len(failed) == len(outcomes):
        raise Failure(f"{', '.join(failed)} could not start")
    if failed:
        warn(f"{', '.join(failed)} could not start; the rest is served")


def _require_disk(state: Path) -> None:
    free = shutil.disk_usage(state).free
    if free < NEEDED_DISK_BYTES:
        raise Failure(f"only {free / 2**30:.1f} GiB of disk are free at {state}; 1 GiB is needed")


def _http_options(config: Path) -> dict[str, Any]:
    """The HTTP part of the file, before it is checked: the port question comes first."""
    document = read_yaml(config)
    options = document.get("http_options") if isinstance(document, dict) else None
    return options if isinstance(options, dict) else {}


def _health(base_url: str) -> dict[str, str]:
    """How each store and model is; nothing while the gateway is not healthy."""
    try:
        answer = httpx.get(f"{base_url}/health", timeout=5, trust_env=False)
        health = answer.json()
        # Served without PostgreSQL, too; but a start is done when everything is there.
        is_whole = answer.is_success and health["status"] == "healthy"
        services: dict[str, str] = health["services"] if is_whole else {}
    except (httpx.HTTPError, ValueError, KeyError):
        return {}
    return services


def _quietly(act: Callable[[], None]) -> None:
    """Stopping goes on when a part of it is refused: processes are ended below in any case."""
    try:
        act()
    except Failure as failure:
        warn(str(failure))


def _usable(state: Path) -> Path:
    """The state directory, private and with room. Raises Failure before anything is written."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        # Ray and others make world-writable directories; nobody else may come near them.
        state.chmod(0o700)
    except OSError as error:
        raise Failure(f"{state} cannot hold the state: {error.strerror}") from error
    _require_disk(state)
    return state


def _signals_interrupt() -> None:
    """SIGTERM and a lost terminal stop like Ctrl-C, which shells turn off for background jobs."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.default_int_handler)


def _ignore_signals() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
