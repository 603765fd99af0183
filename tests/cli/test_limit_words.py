"""Limits on a command line, in the words of plans.yaml."""

import pytest

from auth.accounts import KeyGrant
from cli.failure import Failure
from cli.limit_words import limits_of, words_of
from core.errors import SettingsError
from core.settings import parse

WORDS = [
    *("requests.minute=60", "tokens.day=50_000", "tokens.hour=9000", "money.month=12.5"),
    *("concurrency=2", "storage_gb=0.25"),
    *("watch.tokens.minute=300", "watch.rows.day=20", "watch.money.day=1.5"),
]


def grant(words):
    return parse(KeyGrant, {"limits": limits_of(words)}, "the key")


def test_every_limit_can_be_said_and_is_shown_as_it_is_said():
    limits = grant(WORDS).limits
    assert limits is not None
    shown = limits.model_dump(mode="json", exclude_defaults=True)
    assert shown == {
        "requests": {"minute": 60},
        "tokens": {"hour": 9_000, "day": 50_000},
        "money": {"month": "12.5"},
        "concurrency": 2,
        "storage_gb": "0.25",
        "watch": {"tokens": {"minute": 300}, "rows": {"day": 20}, "money": {"day": "1.5"}},
    }
    assert set(words_of(limits, 7)) == {
        *(word.replace("_000", "000") for word in WORDS),
        "requests_per_hour=7",
    }


@pytest.mark.parametrize(
    "words",
    [
        ["tokens"],
        ["tokens.day"],
        ["tokens.day="],
        ["tokens.=5"],
        ["concurrency=1", "concurrency=2"],
        ["tokens.day=1", "tokens.day=2"],
        ["tokens=1", "tokens.day=2"],
        ["watch.tokens.day=1", "watch.tokens.day=2"],
        ["watch.=1"],
        ["watch=1", "watch.tokens.day=1"],
    ],
)
def test_what_is_no_limit_or_said_twice_is_refused(words):
    with pytest.raises(Failure):
        limits_of(words)


@pytest.mark.parametrize(
    ("word", "field"),
    [
        ("tokens.week=5", "limits.tokens.week"),
        ("smiles.day=5", "limits.smiles"),
        ("tokens.day=many", "limits.tokens.day"),
        ("money.hour=5", "limits.money.hour"),
        ("concurrency=0", "limits.concurrency"),
        ("watch.tokens.week=5", "limits.watch.tokens.week"),
    ],
)
def test_a_limit_that_cannot_be_is_named(word, field):
    with pytest.raises(SettingsError) as refused:
        grant([word])
    assert field in refused.value.message
