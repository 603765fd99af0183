"""What the README says to paste, pasted."""

import json
import re
import shutil
import subprocess

import pytest

from core.settings import ROOT

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="no curl on this machine")
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
RETRY = "curl --fail-with-body --silent --show-error --retry 5 --retry-all-errors"


def curls():
    start = (ROOT / "README.md").read_text().partition("## Start")[2].partition("\n## ")[0]
    blocks = [block for block in BLOCK.findall(start) if "curl" in block]
    return [command for block in blocks for command in block.strip().split("\n\n")]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", curls(), ids=lambda text: text.split("/v1/")[1].split()[0])
def test_a_curl_of_the_readme_answers(cluster, tmp_path, command):
    command = command.replace("http://127.0.0.1:8000", cluster.base_url)
    command = command.replace(".carillon/api-key", str(cluster.state / "api-key"))
    command = command.replace("curl ", f"{RETRY} ", 1)
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if "--output" in command:
        (file,) = tmp_path.iterdir()
        assert file.read_bytes()[:3] == b"ID3" or file.read_bytes()[0] == 0xFF
    else:
        answer = json.loads(done.stdout)
        assert answer.get("choices") or answer.get("data") or answer.get("results")
