"""Lock files: fresh, hashed, and free of anybody's machine."""

import re
import shutil

import pytest

from cli.locks import LOCKS, Locks
from core.settings import ROOT

FILES = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.fixture
def checkout(tmp_path):
    """A copy of what locks are made from, and the locks."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def replace(checkout, old: str, new: str) -> None:
    project = checkout / "pyproject.toml"
    text = project.read_text()
    assert old in text
    project.write_text(text.replace(old, new))


def test_the_locks_of_this_repository_are_fresh():
    assert Locks().stale() == []


def test_a_changed_dependency_makes_every_lock_stale(checkout):
    replace(checkout, '"pydantic>=2.12,<3"', '"pydantic>=2.13,<3"')
    assert Locks(checkout).stale() == ["cpu.txt", "gpu.txt", "dev.txt"]


def test_a_changed_development_tool_makes_only_its_lock_stale(checkout):
    replace(checkout, '"pytest>=9"', '"pytest>=10"')
    assert Locks(checkout).stale() == ["dev.txt"]


def test_another_torch_makes_its_pin_stale_too(checkout):
    replace(checkout, 'cpu = ["torch==2.13.0"', 'cpu = ["torch==2.14.0"')
    assert Locks(checkout).stale() == ["cpu.txt", "dev.txt", "torch-cpu.txt"]


def test_what_is_left_out_counts_too(checkout):
    with (checkout / "requirements" / "excluded-cpu.txt").open("a") as file:
        file.write("triton\n")
    assert Locks(checkout).stale() == ["cpu.txt", "dev.txt"]


def test_other_settings_of_the_project_do_not_matter(checkout):
    replace(checkout, "line-length = 100", "line-length = 99")
    assert Locks(checkout).stale() == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_lock_names_a_registry_or_a_machine(file):
    assert not re.search(r"://|--(index|extra|find|trusted)|(^|[ =])/|file:", file.read_text())


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_pin_has_hashes(lock):
    text = (ROOT / "requirements" / lock.name).read_text()
    entries = re.split(r"\n(?=[a-z0-9])", text.partition("\n\n")[0] or text, flags=re.IGNORECASE)
    pins = [entry for entry in entries if "==" in entry.splitlines()[0]]
    assert len(pins) > 30
    assert all("--hash=sha256:" in entry for entry in pins)


def test_the_cpu_flavour_has_no_cuda_and_nothing_that_breaks_torchs_cpu_build():
    for name in ("cpu.txt", "dev.txt"):
        text = (ROOT / "requirements" / name).read_text()
        assert not re.search(r"^(nvidia-|torch(vision|audio|codec)?==)", text, re.MULTILINE)


def test_the_gpu_flavour_has_vllm_torch_and_cuda():
    text = (ROOT / "requirements" / "gpu.txt").read_text()
    for pin in (r"vllm==0\.32\.0", r"torch==2\.13\.0", r"torchvision==", r"nvidia-"):
        assert re.search(rf"^{pin}", text, re.MULTILINE), pin
