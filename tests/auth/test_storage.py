"""Storage of users, keys, and keys that keys made: on real PostgreSQL, and exact for crowds."""

import asyncio
import secrets
from dataclasses import replace

import pytest
from pydantic import ValidationError

from auth.database import Database
from auth.media import Claim, MediaOwnership
from auth.plans import Plan, PlanEntry
from auth.principal import Maker, Principal
from auth.storage import Storage
from core.errors import StorageFull

KB = 1_000


@pytest.fixture
def media(database: Database) -> MediaOwnership:
    return MediaOwnership(database)


@pytest.fixture
def storage(media: MediaOwnership) -> Storage:
    plans = {
        "pro": Plan("pro", (), storage_bytes=100 * KB, user_storage_bytes=50 * KB),
        "small": Plan("small", (), storage_bytes=5 * KB),
    }
    return Storage(media, plans)


@pytest.fixture
def who(tenant) -> Principal:
    return Principal(
        tenant.id,
        "k1",
        "pro",
        "e",
        frozenset(),
        user_id="ada",
        user_storage_bytes=40 * KB,
        key_storage_bytes=10 * KB,
    )


async def keep(media: MediaOwnership, storage: Storage, who: Principal, size: int = KB) -> str:
    blob = secrets.token_hex(32)
    limits = storage.limits(who)
    await media.claim(who.tenant_id, "o", [Claim(blob, "image/png", size)], None, limits)
    await media.stored(who.tenant_id, [blob])
    return blob


async def standing(storage: Storage, who: Principal) -> dict[str, tuple[int | None, int]]:
    return {each.scope: (each.limit, each.used) for each in await storage.standing(who)}


async def test_what_a_key_stores_counts_for_its_user_and_its_tenant(media, storage, who):
    blob = await keep(media, storage, who, 10 * KB)
    assert await standing(storage, who) == {
        "tenant": (100 * KB, 10 * KB),
        "user": (40 * KB, 10 * KB),
        "key": (10 * KB, 10 * KB),
    }
    with pytest.raises(StorageFull) as refused:
        await keep(media, storage, who, 1)
    assert "the storage of this API key is full" in refused.value.message
    assert refused.value.trace is not None
    assert refused.value.trace["limit"]["scope"] == "key"
    other = replace(who, key_id="k2", key_storage_bytes=None)
    await keep(media, storage, other, 30 * KB)
    with pytest.raises(StorageFull, match="the storage of each user"):
        await keep(media, storage, other, 1)
    await media.release(who.tenant_id, blob)
    assert (await standing(storage, who))["key"] == (10 * KB, 0)
    await keep(media, storage, who)


async def test_the_same_bytes_count_for_who_stored_them_first(media, storage, who):
    blob = await keep(media, storage, who, 10 * KB)
    second = replace(who, key_id="k2", user_id="bob")
    limits = storage.limits(second)
    await media.claim(who.tenant_id, "o", [Claim(blob, "image/png", 10 * KB)], None, limits)
    assert (await standing(storage, second))["key"] == (10 * KB, 0)
    await media.release(who.tenant_id, blob)
    assert set((await standing(storage, who)).values()) == {
        (100 * KB, 0),
        (40 * KB, 0),
        (10 * KB, 0),
    }


async def test_a_key_stores_no_more_than_the_key_that_made_it_may(media, storage, who):
    maker = Maker("k1", storage_bytes=10 * KB)
    children = [replace(who, key_id=f"c{n}", makers=(maker,)) for n in range(2)]
    for child in children:
        await keep(media, storage, child, 5 * KB)
    for key in (*children, who):
        with pytest.raises(StorageFull):
            await keep(media, storage, key)
    assert (await standing(storage, children[0]))["maker"] == (10 * KB, 10 * KB)
    assert (await standing(storage, who))["key"] == (10 * KB, 10 * KB)


async def test_a_tier_limits_storage_too(storage, who):
    key = replace(who, tier="small", key_storage_bytes=None)
    assert {each.scope: each.limit for each in storage.limits(key)}["key"] == 5 * KB


@pytest.mark.parametrize("writers", [60])
async def test_callers_at_once_fill_a_key_exactly(media, storage, who, writers):
    key = replace(who, key_storage_bytes=7 * KB)
    found = await asyncio.gather(
        *(keep(media, storage, key) for _ in range(writers)), return_exceptions=True
    )
    stored = [each for each in found if isinstance(each, str)]
    assert len(stored) == 7
    assert all(isinstance(each, (str, StorageFull)) for each in found)
    assert (await standing(storage, key))["key"] == (7 * KB, 7 * KB)
    await asyncio.gather(*(media.release(who.tenant_id, blob) for blob in stored))
    assert {used for _, used in (await standing(storage, key)).values()} == {0}


async def test_claims_that_are_given_up_give_the_room_of_all_back(media, storage, who):
    blob = secrets.token_hex(32)
    await media.claim(who.tenant_id, "o", [Claim(blob, "image/png", KB)], None, storage.limits(who))
    assert {used for _, used in (await standing(storage, who)).values()} == {KB}
    await media.give_up(who.tenant_id, blob)
    assert {used for _, used in (await standing(storage, who)).values()} == {0}


def test_a_plan_says_what_each_user_and_key_may_store():
    plan = PlanEntry.model_validate(
        {"storage_gb": 2, "per_user": {"storage_gb": 0.5}, "per_key": {"storage_gb": "0.000001"}}
    ).plan("p")
    found = (plan.storage_bytes, plan.user_storage_bytes, plan.key_storage_bytes)
    assert found == (2 * 10**9, 5 * 10**8, 1_000)
    with pytest.raises(ValidationError, match="storage cannot be watched"):
        PlanEntry.model_validate({"watch": {"storage_gb": 1}}).plan("p")
