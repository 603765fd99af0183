"""The committed weights are those that the committed scores are of."""

import subprocess
from pathlib import Path

import pytest

from core.settings import ROOT
from models import judged

MODELS = ROOT / "models"
SCORES = sorted(MODELS.glob("starter_*/*scores.json"))
ANEW = "changed since it was judged: run the model's evaluation, which writes both scores and list"


def listed(scores: Path) -> dict[Path, str]:
    return judged.read(scores.with_suffix(judged.SUFFIX))


@pytest.mark.parametrize("scores", SCORES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_was_judged_is_what_is_committed(scores):
    files = listed(scores)
    assert scores in files
    for file, known in files.items():
        assert judged.digest(file) == known, f"{file.relative_to(ROOT)} {ANEW}"


def test_every_file_of_every_starter_model_was_judged():
    weights = {f for f in MODELS.glob("starter_*/weights/**/*") if f.is_file()}
    known = {file for scores in SCORES for file in listed(scores)}
    assert len({scores.parent for scores in SCORES}) == len(list(MODELS.glob("starter_*/weights")))
    assert weights <= known


def test_a_list_can_be_checked_by_hand_and_notices_every_change(tmp_path):
    weights = tmp_path / "weights" / "unet"
    weights.mkdir(parents=True)
    (weights / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "words.yaml").write_text("up: soar")
    scores = tmp_path / "scores.json"
    scores.write_text("{}")
    judged.write(scores, tmp_path / "weights", tmp_path / "words.yaml")
    command = ["sha256sum", "--check", "--status", "scores.sha256"]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
    assert len(judged.read(tmp_path / "scores.sha256")) == 3
    for file in judged.read(tmp_path / "scores.sha256"):
        before = file.read_bytes()
        file.write_bytes(before + b"!")
        assert subprocess.run(command, cwd=tmp_path, check=False).returncode != 0
        file.write_bytes(before)
