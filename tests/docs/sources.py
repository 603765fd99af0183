"""What the documentation is compared with, read from the code."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from core.settings import ROOT

PACKAGES = ("core", "auth", "deployments", "graphs", "ingress", "models", "cli")
METRIC = re.compile(r'"(carillon_[a-z_]+)"')
NO_METRICS = {"carillon_request_id", "carillon_tenant"}
"""A field of logs, and a role of PostgreSQL."""


@cache
def tracked() -> tuple[str, ...]:
    """Every file that git tracks, from the checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return tuple(name for name in listed.stdout.split("\0") if name)


def metric_names() -> set[str]:
    """Names of our metrics, as the code gives them to Ray."""
    return {name for path in sources() for name in METRIC.findall(path.read_text())} - NO_METRICS


def sources() -> Iterator[Path]:
    """Our Python files, without the tests."""
    for package in PACKAGES:
        yield from (ROOT / package).rglob("*.py")


def pages() -> list[Path]:
    """Every page that people read."""
    top = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
    return [*(path for path in top if path.exists()), *sorted((ROOT / "docs").rglob("*.md"))]


def table_rows(text: str, columns: int) -> list[list[str]]:
    """Rows of the Markdown tables in `text` with at least so many columns, headings left out."""
    rows = []
    for line in text.splitlines():
        if line.startswith("|") and not set(line) <= set("|-: "):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
            if len(cells) >= columns:
                rows.append(cells)
    return rows
