"""The quickstart notebook, run as it stands against the session's cluster."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from nbclient import NotebookClient

from core.settings import ROOT
from tests.e2e.cluster import Cluster

NOTEBOOK = ROOT / "notebooks" / "01_quickstart.ipynb"


@pytest.fixture
def config(cluster: Cluster, tmp_path: Path) -> Iterator[Path]:
    """What the cluster runs, with an echo that is small enough for a second one on two cores.

    Afterwards the cluster runs what it ran before.
    """
    document = yaml.safe_load(cluster.config.read_text())
    echo = next(a for a in document["applications"] if a["name"] == "echo")
    echo["deployments"][0]["ray_actor_options"] = {"num_cpus": 0.01}
    path = tmp_path / "serve_config.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    cluster.carillon("deploy", str(path))
    yield path
    cluster.carillon("deploy", str(cluster.config))


def output_of(notebook: Any, words: str) -> str:
    """Everything that the cell with `words` in its source printed or showed."""
    (cell,) = [c for c in notebook.cells if c.cell_type == "code" and words in c.source]
    texts = [o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in cell.outputs]
    return "\n".join(texts)


@pytest.mark.timeout(600)
def test_the_quickstart_runs_from_top_to_bottom(cluster, config, monkeypatch):
    monkeypatch.setenv("CARILLON_STATE", str(cluster.state))
    monkeypatch.setenv("CARILLON_CONFIG", str(config))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    ).execute()
    assert "'starter-chat': 'RUNNING'" in output_of(notebook, "ray.init")
    assert "SELECT" in output_of(notebook, "chat.answer.remote(")
    assert "SELECT" in output_of(notebook, "streaming.stream.remote")
    assert "SELECT" in output_of(notebook, "**question, stream=True)")
    assert "x-ratelimit-remaining-requests" in output_of(notebook, "with_raw_response")
    (chart,) = [c for c in notebook.cells if "axes.hist" in c.source]
    assert any("image/png" in output.get("data", {}) for output in chart.outputs)
    assert "replicas of echo: 1 → 2" in output_of(notebook, "BEFORE + 1))")
    assert "replicas of echo: 1" in output_of(notebook, "with_replicas(BEFORE))")


def test_the_committed_notebook_has_no_outputs():
    document = json.loads(NOTEBOOK.read_text())
    for cell in document["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_the_notebook_leaves_the_replicas_settings_to_replicas():
    assert 'environ["RAY_SERVE' not in NOTEBOOK.read_text()
