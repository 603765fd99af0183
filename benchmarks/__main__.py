"""`python -m benchmarks`: measure, show, write. See `docs/benchmarks.md`."""

import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import report
from benchmarks.admission_rows import admission
from benchmarks.audio_rows import speech, transcription
from benchmarks.chat_rows import chat
from benchmarks.cluster import Cluster, own_cluster, running_cluster
from benchmarks.cluster_rows import first_token, memory, memory_awake
from benchmarks.compare import Row
from benchmarks.core_rows import cores
from benchmarks.embedding_rows import embeddings
from benchmarks.fraud_rows import fraud
from benchmarks.gateway_rows import (
    QUICK,
    Effort,
    added_latency,
    cached,
    connections,
    one_hop,
    streams,
)
from benchmarks.graph_rows import graph
from benchmarks.image_rows import image
from benchmarks.load import LoadFailed
from benchmarks.passage_rows import passages
from benchmarks.peers import PeerMissing
from benchmarks.processes import ChildFailed
from benchmarks.rag_rows import rag
from benchmarks.rest import rest
from benchmarks.video_rows import video
from benchmarks.vision_rows import vision
from benchmarks.wake_rows import wake
from core.settings import state_directory

Group = Callable[[Cluster, Effort, Path], Iterator[Row]]
GROUPS: dict[str, Group] = {
    "first-token": first_token,
    "cached": cached,
    "one-hop": one_hop,
    "streams": streams,
    "added-latency": added_latency,
    "admission": admission,
    "chat": chat,
    "cores": cores,
    "connections": connections,
    "graph": graph,
    "fraud": fraud,
    "embeddings": embeddings,
    "memory": memory,
    "wake": wake,
    "rag": rag,
    "image": image,
    "video": video,
    "vision": vision,
    "speech": speech,
    "transcription": transcription,
    "passages": passages,
    "memory-awake": memory_awake,
}
"""Rows by the name that `--only` takes, in the order they are measured."""
SCRATCH_MODE = 0o711
"""PostgreSQL started by root runs as another user, which must pass through the directory."""


def bench(
    only: Annotated[
        list[str] | None, typer.Option(help=f"Measure these: {', '.join(GROUPS)}.")
    ] = None,
    quick: Annotated[bool, typer.Option(help="Fewer and shorter turns.")] = False,  # noqa: FBT002 - a flag
    url: Annotated[
        str | None, typer.Option(help="Use the cluster that runs here instead of a new one.")
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(help="Its API key; in its state directory.")
    ] = None,
) -> None:
    """Measure Carillon against its peers. With --quick, in under twenty minutes."""
    if unknown := set(only or ()) - set(GROUPS):
        raise typer.BadParameter(f"no such row: {', '.join(unknown)}", param_hint="--only")
    console = Console(stderr=True)
    machine = report.machine()
    with tempfile.TemporaryDirectory(prefix="carillon-bench-") as scratch_name:
        scratch = Path(scratch_name)
        scratch.chmod(SCRATCH_MODE)
        with _cluster(url, key_file, scratch, console) as cluster:
            effort = QUICK if quick else Effort()
            rows, failures = _measure(cluster, effort, scratch, only or list(GROUPS), console)
    command = "python -m benchmarks " + shlex.join(sys.argv[1:])
    done = report.Report(rows, failures, command.strip(), machine)
    report.show(done, Console(width=None if sys.stdout.isatty() else report.WIDTH))
    if not only:
        report.write(done)
    if failures:
        raise typer.Exit(1)


def _cluster(
    url: str | None, key_file: Path | None, scratch: Path, console: Console
) -> AbstractContextManager[Cluster]:
    if url is not None:
        return nullcontext(running_cluster(url, key_file or state_directory() / "api-key"))
    console.print("starting a cluster ...")
    return own_cluster(scratch)


def _measure(
    cluster: Cluster, effort: Effort, scratch: Path, names: list[str], console: Console
) -> tuple[list[Row], dict[str, str]]:
    """All rows of the groups `names`; a group that cannot be measured does not stop the others."""
    rows: list[Row] = []
    failures: dict[str, str] = {}
    for name in (group for group in GROUPS if group in names):
        rest()
        console.print(f"measuring {name} ...")
        try:
            rows.extend(GROUPS[name](cluster, effort, scratch))
        except (LoadFailed, ChildFailed, PeerMissing) as error:
            failures[name] = str(error)
    return rows, failures


if __name__ == "__main__":
    typer.run(bench)
