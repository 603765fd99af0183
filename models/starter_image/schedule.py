"""What every diffusion training run here does alike: its pace, its steady copies, its last touch.

Shared by the trainers of starter-image and starter-video; it knows neither pictures nor clips.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def pace(step: int, done: float) -> float:
    """Share of the full rate: warm-up, long plateau, then down to zero."""
    return min(1.0, (step + 1) / 200) * min(1.0, 2.0 * (1 - done))


def follow(steady: Sequence[Any], moving: Sequence[Any], step: int, keep: float) -> None:
    """Move the steady copies towards the moving models: an average over recent weights.

    `keep` is the share of the old that stays at each step, less in the first steps.
    """
    kept = min(keep, (1 + step) / (10 + step))
    for copy, model in zip(steady, moving, strict=True):
        for old, new in zip(copy.parameters(), model.parameters(), strict=True):
            old.data.lerp_(new.data, 1 - kept)


def forget_origins(folder: Path) -> None:
    """Where weights were loaded from before is nobody's business; files are for all to read."""
    for path in folder.rglob("*"):
        if path.suffix == ".json":
            found = json.loads(path.read_text())
            found.pop("_name_or_path", None)
            path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        path.chmod(0o755 if path.is_dir() else 0o644)
