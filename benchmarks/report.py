"""The report: the table on screen, `results/latest.json`, and the table in `docs/benchmarks.md`.

All three are written from the same rows.
"""

import json
import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.compare import Row, Rule
from core.settings import ROOT

LATEST = ROOT / "benchmarks" / "results" / "latest.json"
DOCUMENT = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
EXCERPT_CHARACTERS = 600
WIDTH = 150
HEADINGS = (
    "row",
    "unit",
    "Carillon",
    "peer",
    "ratio",
    "target",
    "met",
    "peer is",
    "CPU ms per request",
)
RULES = {
    Rule.RATIO_AT_LEAST: "ratio ≥ {:g}",
    Rule.RATIO_AT_MOST: "ratio ≤ {:g}",
    Rule.DIFFERENCE_AT_MOST: "≤ {:g} more",
    Rule.VALUE_AT_MOST: "≤ {:g}",
}


@dataclass(frozen=True, slots=True)
class Report:
    """One run."""

    rows: list[Row]
    failures: dict[str, str]
    command: str
    machine: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """The run for JSON."""
        return {
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": self.command,
            "machine": self.machine,
            "rows": [row.document() for row in self.rows],
            "failures": self.failures,
        }


def machine() -> dict[str, Any]:
    """Where this is measured. The load is that of others, when asked before the run."""
    return {
        "cpus": os.cpu_count(),
        "processor": _processor(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def show(report: Report, console: Console) -> None:
    """The table on screen."""
    table = Table(*HEADINGS, title="Carillon against its peers", title_justify="left")
    for row in report.rows:
        style = {True: "green", False: "red", None: ""}[row.met]
        table.add_row(*_cells(row), style=style)
    console.print(table)
    for name, message in report.failures.items():
        brief = (
            message if len(message) < EXCERPT_CHARACTERS else f"{message[:EXCERPT_CHARACTERS]} ..."
        )
        console.print(f"{name} was not measured: {brief}", style="red", markup=False)


def write(report: Report) -> None:
    """`results/latest.json`, and the table in the documentation."""
    document = report.document()
    LATEST.parent.mkdir(parents=True, exist_ok=True)
    LATEST.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    write_table(document, report.rows, DOCUMENT)


def write_table(document: dict[str, Any], rows: list[Row], path: Path) -> None:
    """Replace what stands between the markers of the page at `path`."""
    text = path.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{_markdown(document, rows)}\n{END}{after}")


def _markdown(document: dict[str, Any], rows: list[Row]) -> str:
    where = document["machine"]
    headline = (
        f"`{document['command']}` on {document['when'][:10]}: {where['cpus']} CPUs"
        f" ({where['processor']}), {where['memory_gb']} GB, {where['system']},"
        f" load before {where['load_before']}."
    )
    lines = [
        headline,
        "",
        "| " + " | ".join(HEADINGS) + " |",
        "|" + "---|" * len(HEADINGS),
    ]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    notes = {row.note: None for row in rows if row.note}
    lines += ["", *(f"- {_names(rows, note)}: {note}." for note in notes)]
    lines += [f"- **{name}** was not measured." for name in document["failures"]]
    return "\n".join(lines)


def _names(rows: list[Row], note: str) -> str:
    return ", ".join(f"*{row.name}*" for row in rows if row.note == note)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        row.unit,
        _figure(row.ours),
        _figure(row.peer),
        _figure(row.ratio),
        RULES[Rule(row.rule)].format(row.target) if row.rule else "",
        {True: "yes", False: "no", None: ""}[row.met],
        row.peer_name or "",
        " / ".join(_figure(cpu_ms) for cpu_ms in (row.ours_cpu_ms, row.peer_cpu_ms) if cpu_ms),
    )


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
