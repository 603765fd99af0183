"""What the documentation says to run, run as it stands, on the default cluster.

Every block of `sh`, `bash` and `python` in the README and in docs/ is here, has a test of its own,
or is named below with the reason why it is not run.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from PIL import Image, ImageDraw

from core.settings import ROOT

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="no curl on this machine")
BLOCK = re.compile(r"^```(sh|bash|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)
ADDRESS = re.compile(r"(?<![\w/])(http://)?(127\.0\.0\.1|localhost):8000")
CURLRC = "fail-with-body\nsilent\nshow-error\nretry = 5\nretry-all-errors\n"
"""What every curl of a test needs and no reader's does."""
LIMIT_S = 280

OWN_TESTS = {
    "docs/accounts.md": "tests/docs/test_accounts_page.py",
    "docs/apps.md": "tests/docs/test_apps_page.py",
    "docs/voice.md": "tests/docs/test_voice_page.py",
    "docs/workflows.md": "tests/docs/test_workflows_page.py",
}
"""Pages whose commands are run in order, against a gateway in the test's process."""
NOT_RUN = {
    "make serve": "the cluster of these tests is started by the command behind it",
    "curl http://127.0.0.1:8000/v1/chat/completions": "test_readme.py",
    "curl http://127.0.0.1:8000/v1/images/generations": "test_readme.py",
    "# deployments/greeter.py": "tests/docs/test_howto.py",
    "curl http://127.0.0.1:8000/v1/models/greeter": "tests/docs/test_howto.py",
    "# graphs/chorus.py": "tests/docs/test_graph_howto.py",
    "curl http://127.0.0.1:8000/v1/models/chorus": "tests/docs/test_graph_howto.py",
    ".venv/bin/carillon plan": "deploys: other tests share this cluster",
    ".venv/bin/carillon deploy": "deploys: other tests share this cluster",
    ".venv/bin/carillon tenants create": "has a gap to fill; see test_accounts_page.py",
    "make install": "installs; the notebook has a test of its own",
    "carillon archive": "needs a month that has ended, with rows: tests/cli",
    "carillon reconcile": "needs a day that has ended, with rows: tests/cli/test_reconcile.py",
    "carillon check": "deploys: other tests share this cluster",
    'eval "$(carillon env)"': "deploys: other tests share this cluster",
    "carillon scale": "scales: other tests share this cluster; tests/cli/test_scale.py",
    ".venv/bin/python -m benchmarks.retrieval": "a measurement of many minutes",
}
"""Beginnings of blocks, and where they are run instead or why not."""


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> list[Block]:
    """Every block of every page that has no test of its own."""
    found = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        page, text = str(path.relative_to(ROOT)), path.read_text()
        if page not in OWN_TESTS:
            for match in BLOCK.finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                found.append(Block(page, line, match[1], match[2]))
    return found


def is_run(block: Block) -> bool:
    return not any(block.text.startswith(beginning) for beginning in NOT_RUN)


def picture(path: Path) -> None:
    image = Image.new("RGB", (64, 64), "blue")
    ImageDraw.Draw(image).ellipse((12, 12, 52, 52), fill="red")
    image.save(path)


@pytest.fixture
def desk(cluster, tmp_path) -> dict[str, str]:
    """A directory with what a reader has there, and the environment of a reader's shell."""
    (tmp_path / ".carillon").symlink_to(cluster.state)
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    shutil.copy(ROOT / "README.md", tmp_path)
    for name in ("photo.png", "picture.png"):
        picture(tmp_path / name)
    (tmp_path / ".curlrc").write_text(
        "fail-with-body\nsilent\nshow-error\nretry = 5\nretry-all-errors\n"
    )
    (tmp_path / "empty").mkdir()
    return os.environ | {
        "CURL_HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CARILLON_STATE": str(cluster.state),
        "PYTHONPATH": str(ROOT),
        "BASE": cluster.base_url,
        "KEY": cluster.api_key,
    }


def an_id(block: Block, cluster, directory: Path) -> str:
    """What `$ID` stands for on a page: a medium's, or an answer's."""
    if block.page == "docs/media.md":
        return hashlib.sha256((directory / "photo.png").read_bytes()).hexdigest()
    answer = httpx.post(
        f"{cluster.base_url}/v1/chat/completions",
        headers={"authorization": f"Bearer {cluster.api_key}"},
        json={"model": "echo", "messages": [{"role": "user", "content": "a receipt, please"}]},
    )
    return str(answer.json()["id"])


@pytest.mark.timeout(LIMIT_S + 20)
@pytest.mark.parametrize("block", [b for b in blocks() if is_run(b)], ids=lambda block: block.name)
def test_a_block_of_the_documentation_runs(cluster, desk, tmp_path, block):
    text = ADDRESS.sub(cluster.base_url, block.text)
    # The one command that wants another state directory than the cluster's.
    text = text.replace("carillon restore", f"CARILLON_STATE={tmp_path / 'empty'} carillon restore")
    if "$ID" in text:
        desk["ID"] = an_id(block, cluster, tmp_path)
    python = [sys.executable, "-c", text]
    command = python if block.language == "python" else ["bash", "-e", "-o", "pipefail", "-c", text]
    done = subprocess.run(
        command, cwd=tmp_path, env=desk, capture_output=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()[-3000:]


def test_what_is_not_run_is_there_and_has_its_reason():
    for beginning in NOT_RUN:
        assert any(block.text.startswith(beginning) for block in blocks()), beginning
    for page, test in OWN_TESTS.items():
        assert (ROOT / page).exists(), page
        assert Path(page).name in (ROOT / test).read_text(), test
