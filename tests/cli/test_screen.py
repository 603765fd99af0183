"""What people read: failures of Serve, and secrets in files."""

import stat

from cli.progress import readable
from cli.secrets_files import random_token, write_secret


def test_a_long_traceback_keeps_its_first_line_and_its_end():
    message = "The deployment failed:\n" + "\n".join(f"  line {n}" for n in range(100))
    lines = readable(f"\x1b[36m{message}\x1b[39m\n\nValueError: the reason").splitlines()
    assert lines[0].strip() == "The deployment failed:"
    assert lines[-1].strip() == "ValueError: the reason"
    assert len(lines) < 20


def test_a_secret_is_a_private_file_without_a_newline(tmp_path):
    write_secret(tmp_path / "key", "s3cret")
    assert (tmp_path / "key").read_bytes() == b"s3cret"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_random_token_is_made_once(tmp_path):
    first = random_token(tmp_path / "token").read_text()
    assert random_token(tmp_path / "token").read_text() == first
    assert len(first) >= 43
