"""The notebook on pipelines, run as it stands against the session's cluster."""

import json

import nbformat
import pytest
from nbclient import NotebookClient

from core.settings import ROOT
from tests.e2e.cluster import Cluster
from tests.notebooks.test_quickstart import output_of

NOTEBOOK = ROOT / "notebooks" / "02_pipelines.ipynb"


@pytest.mark.timeout(600)
def test_the_pipelines_run_from_top_to_bottom(cluster: Cluster, monkeypatch):
    monkeypatch.setenv("CARILLON_STATE", str(cluster.state))
    monkeypatch.setenv("CARILLON_CONFIG", str(cluster.config))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    ).execute()
    assert "Reads users." in output_of(notebook, "print(query)")
    assert "at the same time" in output_of(notebook, "at_once = ")
    assert "SELECT u.name, SUM(o.total)" in output_of(notebook, "client.post(")
    assert "sql calls starter-chat (chat)" in output_of(notebook, "graphs_of(config):")
    (drawn,) = [c for c in notebook.cells if "Markdown(" in c.source]
    assert any(
        "flowchart LR" in output.get("data", {}).get("text/markdown", "")
        for output in drawn.outputs
    )


def test_the_committed_notebook_has_no_outputs():
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
