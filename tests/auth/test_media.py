"""Who owns which media, on real PostgreSQL: quotas, shared blobs, races, what expires."""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta

import pytest

from auth.accounts import Tenant
from auth.database import Database
from auth.directory import Directory
from auth.media import CLAIM_LIFE_S, Claim, MediaOwnership
from auth.storage import TENANT, StorageLimit
from core.errors import NotFound, StorageFull, StoreUnavailable

SIZE = 100


@pytest.fixture
def media(database: Database) -> MediaOwnership:
    return MediaOwnership(database)


@pytest.fixture
async def other(directory: Directory) -> Tenant:
    return await directory.create_tenant("Bob", "free")


@pytest.fixture
def blob() -> str:
    return secrets.token_hex(32)


def of_tenant(limit):
    return [StorageLimit("tenant", TENANT, limit)]


async def put(media, tenant, blob, *, size=SIZE, ends=None, limit=None):
    claim = Claim(blob, "image/png", size)
    await media.claim(tenant.id, f"o-{tenant.id}", [claim], ends, of_tenant(limit))
    (stored,) = await media.stored(tenant.id, [blob])
    return stored


def hours(count: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=count)


async def test_media_are_seen_once_their_blob_is_there(media, tenant, blob):
    await media.claim(tenant.id, "o", [Claim(blob, "image/png", SIZE)], None, ())
    with pytest.raises(NotFound):
        await media.find(tenant.id, blob)
    with pytest.raises(NotFound):
        await media.shared("o", blob)
    (stored,) = await media.stored(tenant.id, [blob])
    assert await media.find(tenant.id, blob) == stored == await media.shared("o", blob)
    assert (stored.media_type, stored.bytes) == ("image/png", SIZE)


async def test_a_claim_takes_room_and_giving_up_gives_it_back(media, tenant, blob):
    await media.claim(tenant.id, "o", [Claim(blob, "image/png", SIZE)], None, of_tenant(SIZE))
    assert await media.storage(tenant.id) == SIZE
    with pytest.raises(StorageFull) as refused:
        await put(media, tenant, secrets.token_hex(32), size=1, limit=SIZE)
    assert (refused.value.status_code, refused.value.code) == (403, "storage_quota_exceeded")
    await media.give_up(tenant.id, blob)
    assert await media.storage(tenant.id) == 0
    with pytest.raises(StoreUnavailable):
        await media.stored(tenant.id, [blob])


async def test_giving_up_leaves_what_another_writer_stored(media, tenant, blob):
    await put(media, tenant, blob)
    await media.claim(tenant.id, "o", [Claim(blob, "image/png", SIZE)], None, ())
    await media.give_up(tenant.id, blob)
    assert await media.find(tenant.id, blob)


async def test_the_same_content_takes_room_once_for_each_tenant(media, tenant, other, blob):
    for _ in range(3):
        await put(media, tenant, blob, limit=SIZE)
    await put(media, other, blob)
    assert await media.storage(tenant.id) == await media.storage(other.id) == SIZE


async def test_a_quota_holds_however_many_put_at_once(media, tenant):
    blobs = [secrets.token_hex(32) for _ in range(24)]
    done = await asyncio.gather(
        *(put(media, tenant, blob, limit=10 * SIZE) for blob in blobs), return_exceptions=True
    )
    assert sum(not isinstance(one, BaseException) for one in done) == 10
    assert sum(isinstance(one, StorageFull) for one in done) == 14
    assert await media.storage(tenant.id) == 10 * SIZE


async def test_a_blob_is_garbage_when_its_last_owner_is_gone(media, tenant, other, blob):
    await put(media, tenant, blob)
    await put(media, other, blob)
    assert await media.release(tenant.id, blob)
    assert blob not in await media.garbage(1000)
    assert (await media.find(other.id, blob)).tenant_id == other.id
    with pytest.raises(NotFound):
        await media.find(tenant.id, blob)
    assert await media.release(other.id, blob)
    assert blob in await media.garbage(1000)
    assert await media.release(other.id, blob) is None


async def test_garbage_that_is_owned_again_is_kept(media, tenant, blob):
    await put(media, tenant, blob)
    await media.release(tenant.id, blob)
    await put(media, tenant, blob)
    async with media.collecting(blob) as nobodys:
        assert not nobodys
    assert blob not in await media.garbage(1000)


async def test_nobody_comes_to_own_a_blob_while_it_is_deleted(media, tenant, blob):
    await put(media, tenant, blob)
    await media.release(tenant.id, blob)
    order = []

    async def put_again():
        await media.claim(tenant.id, "o", [Claim(blob, "image/png", SIZE)], None, ())
        order.append("claimed")

    async with media.collecting(blob) as nobodys:
        assert nobodys
        putting = asyncio.create_task(put_again())
        done, _ = await asyncio.wait([putting], timeout=0.2)
        assert not done
        order.append("deleted")
    await putting
    assert order == ["deleted", "claimed"]


async def test_garbage_stays_listed_when_its_deletion_fails(media, tenant, blob):
    await put(media, tenant, blob)
    await media.release(tenant.id, blob)
    with pytest.raises(StoreUnavailable):
        async with media.collecting(blob):
            raise StoreUnavailable("the media store does not answer")
    assert blob in await media.garbage(1000)


async def test_expired_media_are_gone_for_everyone_at_once(media, tenant, blob):
    await put(media, tenant, blob, ends=hours(-1))
    with pytest.raises(NotFound):
        await media.find(tenant.id, blob)
    with pytest.raises(NotFound):
        await media.shared(f"o-{tenant.id}", blob)
    assert not (await media.page(tenant.id, None, 10)).items
    assert (tenant.id, blob) in await media.ended(1000)
    assert await media.expire(tenant.id, blob)
    assert await media.storage(tenant.id) == 0


@pytest.mark.parametrize(("first", "then"), [(-1, 1), (1, -1), (-1, None), (None, -1)])
async def test_putting_again_never_shortens_a_life(media, tenant, blob, first, then):
    await put(media, tenant, blob, ends=first and hours(first))
    await put(media, tenant, blob, ends=then and hours(then))
    kept = await media.find(tenant.id, blob)
    assert kept.expires_at is None or kept.expires_at > datetime.now(UTC)
    assert await media.expire(tenant.id, blob) is None


async def test_an_abandoned_claim_ends(media, database, tenant, blob):
    await media.claim(tenant.id, "o", [Claim(blob, "image/png", SIZE)], None, ())
    assert (tenant.id, blob) not in await media.ended(1000)
    await database.execute(
        "UPDATE media SET created_at = now() - make_interval(secs => $2) WHERE hash = $1",
        blob,
        CLAIM_LIFE_S + 1,
    )
    assert (tenant.id, blob) in await media.ended(1000)
    await media.claim(tenant.id, "o", [Claim(blob, "image/png", SIZE)], None, ())
    assert await media.expire(tenant.id, blob) is None, "it is being written again"


async def test_pages_walk_through_everything_in_both_orders(media, tenant):
    blobs = [secrets.token_hex(32) for _ in range(5)]
    for blob in blobs:
        await put(media, tenant, blob)
    for oldest_first, expected in ((True, blobs), (False, blobs[::-1])):
        seen, after, more = [], None, True
        while more:
            page = await media.page(tenant.id, after, 2, oldest_first=oldest_first)
            seen += [item.hash for item in page.items]
            after, more = seen[-1], page.has_more
        assert seen == expected


async def test_a_tenant_that_does_not_exist_owns_nothing(media, blob):
    with pytest.raises(NotFound):
        await media.claim("t-nobody", "o", [Claim(blob, "image/png", SIZE)], None, ())
