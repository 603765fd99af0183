"""Installing: interrupted anywhere it resumes, and without a network it says so.

A checkout of its own, with real pip and uv, and a few packages of no content from files.
"""

import base64
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from core.settings import ROOT, child_environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
MODULES = 8000
"""Enough that installing takes long enough to be interrupted."""
UNREACHABLE = "http://127.0.0.1:9"
PYPROJECT = """
[project]
name = "scratch"
version = "1.0"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = """
import shutil
def build_editable(directory, config_settings=None, metadata_directory=None):
    shutil.copy("wheels/scratch-1.0-py3-none-any.whl", directory)
    return "scratch-1.0-py3-none-any.whl"
"""


def wheel(directory: Path, name: str, modules: int) -> str:
    """Writes a package of so many modules; the line that requires it."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}/__init__.py": "",
        **{f"{name}/m{number}.py": f"X = {number}\n" for number in range(modules)},
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{file},{_digest(text)},{len(text)}" for file, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    path = directory / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


class Checkout:
    """A small checkout in `directory`, with what `make install` needs and no network."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.venv = directory / ".venv"
        self.packages = self.venv / "lib" / "python3.11" / "site-packages"
        self.wheels = directory / "wheels"
        self.wheels.mkdir(parents=True)
        self.index = directory / "index"
        """An index of packages that has none."""
        self.index.mkdir()
        self.temporary = directory / "temporary"
        """What is killed leaves its files here."""
        self.temporary.mkdir()
        requirements = directory / "requirements"
        requirements.mkdir()
        for name in ("install.sh", "partial.py", "uv.txt"):
            shutil.copy(ROOT / "requirements" / name, requirements)
        shutil.copy(ROOT / "Makefile", directory)
        (directory / "pyproject.toml").write_text(PYPROJECT)
        (directory / "backend.py").write_text(BACKEND)
        wheel(self.wheels, "scratch", 0)
        wheel(self.wheels, "torch", MODULES // 8)
        (requirements / "torch-cpu.txt").write_text("torch==1.0\n")
        (requirements / "cpu.txt").write_text(wheel(self.wheels, "bulky", MODULES))
        (requirements / "speech-cpu.txt").write_text(wheel(self.wheels, "torchaudio", 8))
        (requirements / "dev.txt").write_text(wheel(self.wheels, "tool", 8))

    def make(self, target: str = "install", **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["make", "--no-print-directory", target],
            cwd=self.directory,
            env=child_environment(
                {
                    "PYTHON": sys.executable,
                    "PYTHONPATH": "",
                    "MAKEFLAGS": "",
                    "CARILLON_FLAVOUR": "cpu",
                    "PIP_CONFIG_FILE": os.devnull,
                    "PIP_FIND_LINKS": str(self.wheels),
                    "PIP_INDEX_URL": self.index.as_uri(),
                    "PIP_EXTRA_INDEX_URL": "",
                    "TMPDIR": str(self.temporary),
                    "UV_CACHE_DIR": str(self.directory / "cache"),
                    **{f"{scheme}_PROXY": UNREACHABLE for scheme in ("HTTP", "HTTPS", "ALL")},
                    **{f"{scheme}_proxy": UNREACHABLE for scheme in ("http", "https", "all")},
                    **environment,
                }
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def install(self) -> None:
        made = self.make()
        said, _ = made.communicate(timeout=300)
        assert made.returncode == 0, said

    def stamps(self) -> set[str]:
        """What is taken for installed."""
        return {path.name for path in self.venv.glob(".installed-*")}

    def is_whole(self) -> bool:
        return all(
            len(list((self.packages / name).glob("*.py"))) == modules + 1
            and (self.packages / f"{name}-1.0.dist-info" / "INSTALLER").exists()
            for name, modules in {"torch": MODULES // 8, "bulky": MODULES, "tool": 8}.items()
        )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """One that has the directory and uv, and nothing else yet."""
    checkout = Checkout(tmp_path_factory.mktemp("checkout") / "carillon")
    subprocess.run([sys.executable, "-m", "venv", checkout.venv], check=True)
    (checkout.venv / "bin" / "uv").symlink_to(Path(sys.executable).with_name("uv"))
    return checkout


@pytest.mark.parametrize(
    ("begun", "how"),
    [("torch", signal.SIGKILL), ("bulky", signal.SIGKILL), ("bulky", signal.SIGINT)],
)
def test_an_interrupted_install_is_no_install_and_resumes(checkout, begun, how):
    for package in (*checkout.packages.glob(f"{begun}*"), *checkout.venv.glob(".installed-*")):
        shutil.rmtree(package) if package.is_dir() else package.unlink()
    made = checkout.make()
    while not (checkout.packages / begun / "__init__.py").exists():
        assert made.poll() is None, made.communicate()[0]
        time.sleep(0.001)
    os.killpg(made.pid, how)
    said, _ = made.communicate(timeout=60)
    assert made.returncode != 0
    assert checkout.stamps() == set()
    assert "Traceback" not in said
    checkout.install()
    assert checkout.is_whole()
    assert checkout.stamps() == {".installed-cpu", ".installed-dev"}


@pytest.mark.parametrize(
    ("package", "lost"),
    [("torch", "half of RECORD"), ("bulky", "INSTALLER"), ("tool", "a module")],
)
def test_a_package_that_is_there_in_part_is_installed_again(checkout, package, lost):
    checkout.install()
    description = checkout.packages / f"{package}-1.0.dist-info"
    record = (description / "RECORD").read_text()
    if lost == "half of RECORD":
        (description / "RECORD").write_text(record[: len(record) // 2])
    elif lost == "INSTALLER":
        (description / "INSTALLER").unlink()
    else:
        (checkout.packages / package / "m7.py").unlink()
    for stamp in checkout.stamps():
        (checkout.venv / stamp).unlink()
    checkout.install()
    assert checkout.is_whole()
    assert len((description / "RECORD").read_text().splitlines()) >= len(record.splitlines())


def test_without_a_network_the_missing_package_is_said_in_one_line(checkout):
    checkout.install()
    required = checkout.directory / "requirements" / "dev.txt"
    before = required.read_text()
    required.write_text(f"absent==1.0 --hash=sha256:{'0' * 64}\n")
    made = checkout.make(PIP_INDEX_URL=f"{UNREACHABLE}/simple")
    said, _ = made.communicate(timeout=300)
    assert made.returncode == 2
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if line.startswith("carillon: ")]
    assert line == (
        "carillon: a package of requirements/dev.txt could not be downloaded. Check the network"
        " (and pip's settings), then run the same command again: it continues where it stopped"
    )
    stamp = checkout.venv / ".installed-dev"
    assert not stamp.exists() or stamp.stat().st_mtime < required.stat().st_mtime
    required.write_text(before)
    checkout.install()


def test_without_a_network_a_first_install_says_so_and_is_no_install(tmp_path):
    checkout = Checkout(tmp_path / "carillon")
    made = checkout.make("serve", PIP_INDEX_URL=f"{UNREACHABLE}/simple")
    said, _ = made.communicate(timeout=300)
    assert made.returncode == 2
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if line.startswith("carillon: ")]
    assert line.startswith("carillon: uv could not be downloaded. Check the network")
    assert checkout.stamps() == set()


def test_an_environment_that_was_half_removed_is_not_taken_for_the_whole(tmp_path):
    checkout = Checkout(tmp_path / "carillon")
    checkout.packages.mkdir(parents=True)
    for name in (".installed-cpu", ".installed-dev", *map(str, range(MODULES))):
        (checkout.venv / name).touch()
    made = checkout.make("clean")
    while checkout.venv.exists():
        assert made.poll() is None
    os.killpg(made.pid, signal.SIGKILL)
    made.communicate()
    assert not checkout.venv.exists()
    assert checkout.make("clean").wait(60) == 0
    assert not checkout.venv.with_name(".venv-old").exists()
