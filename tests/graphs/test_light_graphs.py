"""The gateway imports graphs for their SPEC: what only their replicas need is not imported."""

import subprocess
import sys

import pytest

from core.settings import ROOT

HEAVY = ("PIL", "matplotlib", "numpy", "torch", "pandas")


@pytest.mark.parametrize("graph", ["graphs.image_workflow", "graphs.market"])
def test_a_graphs_spec_imports_nothing_heavy(graph):
    script = (
        f"import sys, core.imports, graphs.step; before = set(sys.modules); import {graph};"
        f" print([name for name in {HEAVY} if name in set(sys.modules) - before])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
