"""The one door: every target is in its help, and its files are what other tools expect."""

import os
import re
import shutil
import subprocess

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from core.settings import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
PHONY = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)


def targets() -> list[str]:
    assert PHONY is not None
    return PHONY.group(1).split()


def test_help_is_the_default_and_lists_every_target():
    listed = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True).stdout
    for target in targets():
        assert re.search(rf"^  make {re.escape(target)} +\S", listed, re.MULTILINE), target


def test_every_target_with_a_recipe_is_phony_or_a_file():
    defined = re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE)
    assert sorted(defined) == sorted(targets())


@pytest.mark.parametrize(
    ("python", "message"),
    [
        ("no-such-python", "Python 3.11 is needed and 'no-such-python' was not found"),
        ("{tmp}/old", "Python 3.11 is needed; "),
    ],
)
def test_a_wrong_python_is_one_clear_line(tmp_path, python, message):
    old = tmp_path / "old"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.1; exit 1\n')
    old.chmod(0o755)
    shutil.copytree(ROOT / "requirements", tmp_path / "checkout" / "requirements")
    done = subprocess.run(
        [tmp_path / "checkout/requirements/install.sh", "cpu"],
        env={**os.environ, "PYTHON": python.format(tmp=tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_too_little_disk_is_one_clear_line(tmp_path):
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    df = tmp_path / "bin" / "df"
    df.parent.mkdir()
    df.write_text("#!/bin/sh\necho head\necho disk 9 8 1048577 9% /\n")
    df.chmod(0o755)
    done = subprocess.run(
        [tmp_path / "requirements/install.sh", "cpu"],
        env={**os.environ, "PATH": f"{df.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "carillon: only 1 GiB of disk are free here; 6 GiB are needed to install\n"
    )


def test_the_cluster_launchers_file_is_what_ray_expects():
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    validate_config(prepare_config(config))


def test_every_machine_of_a_cluster_asks_for_the_token_and_runs_haproxy():
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        start = config[key][-1]
        assert "RAY_AUTH_MODE=token" in start
        assert "RAY_SERVE_ENABLE_HA_PROXY=1 RAY_SERVE_THROUGHPUT_OPTIMIZED=1" in start
        assert "RAY_SERVE_HAPROXY_METRICS_ENABLED=0" in start
