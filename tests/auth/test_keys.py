import asyncio
import os
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from auth.keys import KeyHasher, create_pepper, display_prefix, key_id_of


def test_a_key_carries_its_id_and_256_random_bits(hasher: KeyHasher):
    keys = [hasher.generate() for _ in range(100)]
    assert len({key.secret.get_secret_value() for key in keys}) == 100
    for key in keys:
        text = key.secret.get_secret_value()
        assert text.startswith(f"ck-{key.key_id}-")
        assert len(text.removeprefix(f"ck-{key.key_id}-")) == 43
        assert key_id_of(text) == key.key_id


def test_a_key_matches_its_own_digest_only(hasher: KeyHasher):
    one, other = hasher.generate(), hasher.generate()
    assert hasher.matches(one.secret.get_secret_value(), one.digest)
    assert not hasher.matches(other.secret.get_secret_value(), one.digest)


def test_another_pepper_makes_another_digest(hasher: KeyHasher):
    key = hasher.generate().secret.get_secret_value()
    assert KeyHasher(SecretStr("other")).digest(key) != hasher.digest(key)


def test_nothing_printed_shows_a_secret(hasher: KeyHasher):
    key = hasher.generate()
    tail = key.secret.get_secret_value().removeprefix(f"ck-{key.key_id}-")
    for text in (repr(key), str(key), repr(hasher), display_prefix(key.key_id)):
        assert tail not in text
        assert "pepper-of-the-tests" not in text


@pytest.mark.parametrize(
    "text", ["", "ck-", "sk-123", "ck-0123456789abcdef-short", "ck-0123456789abcdef-" + "é" * 43]
)
def test_malformed_keys_have_no_id(text: str):
    assert key_id_of(text) is None


def test_a_pepper_is_private_and_never_replaced(tmp_path: Path):
    path = tmp_path / "state" / "pepper"
    assert create_pepper(path)
    first = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(first.strip()) == 64
    assert not create_pepper(path)
    assert path.read_text() == first
    assert os.listdir(path.parent) == ["pepper"]  # noqa: PTH208


async def test_of_many_starts_at_once_one_makes_the_pepper(tmp_path: Path):
    path = tmp_path / "pepper"
    made = await asyncio.gather(*(asyncio.to_thread(create_pepper, path) for _ in range(20)))
    assert sum(made) == 1
