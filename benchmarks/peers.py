"""The peers: LiteLLM's proxy and vLLM's own server, run as their documentation advises.

LiteLLM lives in an environment of its own, `.venv-litellm`, made on first use and no part of our
requirements. It runs without PostgreSQL: one master key, no virtual keys, budgets or spend rows,
which spares it the work that Carillon does for every request of these benchmarks.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import Child, cpu_seconds, family, free_port
from core.settings import ROOT

LITELLM = "litellm[proxy]==1.106.2"
LITELLM_HOME = ROOT / ".venv-litellm"
LITELLM_KEY = "sk-benchmark"
LITELLM_QUIET = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",  # also switches uvicorn's access log off
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "NO_DOCS": "True",
}
QUIET_VLLM = ("--disable-uvicorn-access-log",)
START_TIMEOUT_S = 240.0
ENGINE_TIMEOUT_S = 480.0


class PeerMissing(Exception):
    """A peer could not be installed; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Server:
    """Something that answers OpenAI's chat completions on loopback."""

    port: int
    key: str
    pid: int = 0

    def cpu_seconds(self) -> float:
        """CPU time of all its processes so far."""
        return cpu_seconds(family(self.pid))


def install_litellm() -> Path:
    """The `litellm` command, installed if it is not. Raises PeerMissing."""
    command = LITELLM_HOME / "bin" / "litellm"
    installed = LITELLM_HOME / "installed"
    if installed.exists() and installed.read_text() == LITELLM:
        return command
    python = str(LITELLM_HOME / "bin" / "python")
    try:
        subprocess.run([sys.executable, "-m", "venv", str(LITELLM_HOME)], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", LITELLM], check=True)
    except subprocess.CalledProcessError as error:
        raise PeerMissing(
            f"could not install {LITELLM} into {LITELLM_HOME.name}: pip's own message is above."
            " A package index must be reachable once; rows without LiteLLM run with --only."
        ) from error
    installed.write_text(LITELLM)
    return command


@contextmanager
def litellm(scratch: Path, backend_port: int, workers: int, *, cache: bool) -> Iterator[Server]:
    """LiteLLM's proxy in front of the backend, with its in-memory response cache or with none."""
    port = free_port()
    config = scratch / f"litellm-{port}.yaml"
    config.write_text(json.dumps(_litellm_config(backend_port, cache=cache)))
    command = [str(install_litellm()), "--config", str(config), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--num_workers", str(workers), "--telemetry", "False"]
    if workers > 1:  # on a busy machine a worker is else taken for dead while it starts
        command += ["--timeout_worker_healthcheck", str(round(START_TIMEOUT_S))]
    with Child(command, scratch / f"litellm-{port}.log", LITELLM_QUIET) as child:
        child.wait_until_answers(f"http://127.0.0.1:{port}/health/liveliness", START_TIMEOUT_S)
        yield Server(port, LITELLM_KEY, child.pid)


@contextmanager
def backend(scratch: Path) -> Iterator[int]:
    """The port of a model server that does no work."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.backend", str(port)]
    log = scratch / "backend.log"
    with Child(command, log, {"PYTHONPATH": str(ROOT)}) as child:
        child.wait_until_answers(f"http://127.0.0.1:{port}/", START_TIMEOUT_S)
        yield port


@contextmanager
def vllm(
    scratch: Path,
    model: Path,
    name: str,
    options: Mapping[str, Any],
    environment: Mapping[str, str],
) -> Iterator[Server]:
    """VLLM's own OpenAI server with the options that our engine has."""
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += ["--served-model-name", name, "--host", "127.0.0.1", "--port", str(port)]
    for option, value in options.items():
        if value is not False:
            command += [f"--{option}"] if value is True else [f"--{option}", str(value)]
    command += QUIET_VLLM
    with Child(command, scratch / "vllm.log", environment) as child:
        child.wait_until_answers(f"http://127.0.0.1:{port}/health", ENGINE_TIMEOUT_S)
        yield Server(port, "none", child.pid)


def _litellm_config(backend_port: int, *, cache: bool) -> dict[str, Any]:
    settings: dict[str, Any] = {"set_verbose": False, "request_timeout": 60, "num_retries": 0}
    if cache:
        settings |= {"cache": True, "cache_params": {"type": "local"}}
    model = {
        "model": "openai/echo",
        "api_base": f"http://127.0.0.1:{backend_port}/v1",
        "api_key": "none",
    }
    return {
        "model_list": [{"model_name": "echo", "litellm_params": model}],
        "litellm_settings": settings,
        "general_settings": {"master_key": LITELLM_KEY},
    }
