from pathlib import Path

import pytest

from auth.limits import Limits
from auth.plans import DAY_S, HOUR_S, MINUTE_S, Meter, Plan, Plans, Window, read_plans
from auth.principal import Principal
from core.errors import SettingsError


def principal(**more) -> Principal:
    return Principal("t1", "k1", "pro", "e", frozenset(), **more)


def test_the_shipped_plans_are_the_documented_ones(plans: Plans):
    assert set(plans) == {"free", "pro", "enterprise"}
    r, t = Meter.REQUESTS, Meter.TOKENS
    assert set(plans["free"].windows) == {
        Window(r, MINUTE_S, 100),
        Window(r, HOUR_S, 100),
        Window(r, DAY_S, 100),
        Window(t, MINUTE_S, 10_000),
        Window(t, DAY_S, 100_000),
    }
    assert set(plans["pro"].windows) == {
        Window(r, MINUTE_S, 1_000),
        Window(r, HOUR_S, 1_000),
        Window(r, DAY_S, 1_000),
        Window(t, MINUTE_S, 100_000),
        Window(t, DAY_S, 1_000_000),
    }
    assert plans["enterprise"].windows == (Window(r, HOUR_S, 10_000),)
    assert [plan.storage_bytes for plan in plans.values()] == [10**9, 10**11, None]
    assert [plan.weight for plan in plans.values()] == [1, 4, 16]
    assert Limits(plans).weight(principal()) == 4


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("plans: {}", "plans"),
        ("plans: {free: {request: {minute: 1}}}", "plans.free.request"),
        ("plans: {free: {requests: {week: 1}}}", "plans.free.requests.week"),
        ("plans: {free: {requests: {minute: 0}}}", "plans.free.requests.minute"),
        ("plans: {free: {requests: {minute: 1.5}}}", "plans.free.requests.minute"),
        ("plans: {free: {requests: {minute: '9'}}}", "plans.free.requests.minute"),
        ("plans: {free: {weight: 0}}", "plans.free.weight"),
        ("plans: {free: {weight: 1.5}}", "plans.free.weight"),
        ("plans: {'no spaces': {}}", "plans.no spaces"),
        ("plans: [", "not valid YAML"),
        ("other: 1", "other"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, text: str, fault: str):
    path = tmp_path / "plans.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_plans(path)
    assert fault in caught.value.message
    assert "plans.yaml" in caught.value.message


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(SettingsError, match="does not exist"):
        read_plans(tmp_path / "plans.yaml")


def test_a_plain_key_holds_its_tenants_plan(plans: Plans):
    assert Limits(plans).scopes(principal()) == (("tenant:t1", plans["pro"].windows),)


def test_a_key_with_a_tier_and_a_quota_holds_the_stricter_inside_the_plan(plans: Plans):
    limits = Limits(plans)
    tenant, own = limits.scopes(principal(tier="free", key_requests_per_hour=50))
    assert tenant == ("tenant:t1", plans["pro"].windows)
    assert own[0] == "key:k1"
    hours = [w.limit for w in own[1] if w.seconds == HOUR_S]
    assert hours == [50]
    assert len(own[1]) == len(plans["free"].windows)


def test_a_quota_never_loosens_a_tier(plans: Plans):
    _, own = Limits(plans).scopes(principal(tier="free", key_requests_per_hour=5_000))
    assert Window(Meter.REQUESTS, HOUR_S, 100) in own[1]


def test_the_same_limits_are_the_same_tuple(plans: Plans):
    limits = Limits(plans)
    first = limits.scopes(principal(key_requests_per_hour=7))
    second = limits.scopes(principal(key_requests_per_hour=7))
    assert all(a[1] is b[1] for a, b in zip(first, second, strict=True))


def test_a_plan_that_was_removed_from_the_file_is_an_error_that_names_it():
    with pytest.raises(SettingsError, match="pro"):
        Limits({"free": Plan("free", ())}).scopes(principal())


def test_windows_of_each_user_and_each_key_can_be_watched(tmp_path: Path):
    path = tmp_path / "plans.yaml"
    path.write_text(
        "plans: {pro: {per_user: {requests: {day: 9}, watch: {requests: {minute: 2}}},"
        " per_key: {watch: {tokens: {day: 5}}}}}"
    )
    scopes = dict(Limits(read_plans(path)).scopes(principal(user_id="ada")))
    assert scopes["user:t1:ada"] == (
        Window(Meter.REQUESTS, DAY_S, 9),
        Window(Meter.REQUESTS, MINUTE_S, 2, watched=True),
    )
    assert scopes["key:k1"] == (Window(Meter.TOKENS, DAY_S, 5, watched=True),)


@pytest.mark.parametrize(
    "entry",
    [
        "{requests: {day: 9}, watch: {requests: {day: 2}}}",
        "{per_user: {requests: {day: 9}, watch: {requests: {day: 2}}}}",
        "{per_key: {watch: {storage_gb: 1}}}",
        "{per_key: {watch: {watch: {rows: {day: 1}}}}}",
    ],
)
def test_what_cannot_be_watched_is_named(tmp_path: Path, entry: str):
    path = tmp_path / "plans.yaml"
    path.write_text(f"plans: {{pro: {entry}}}")
    with pytest.raises(SettingsError, match=r"plans\.pro.*watch|held and watched"):
        read_plans(path)


def test_a_window_that_is_only_watched_hides_none_that_holds():
    watched = Window(Meter.TOKENS, DAY_S, 100, watched=True)
    plans = {"pro": Plan("pro", ()), "trial": Plan("trial", (watched,))}
    own = Window(Meter.TOKENS, DAY_S, 200)
    scopes = Limits(plans).scopes(principal(tier="trial", key_windows=(own,)))
    assert dict(scopes)["key:k1"] == (own,)
