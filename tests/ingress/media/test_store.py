"""The store: one blob for the same bytes, nothing lost or left over whatever fails."""

import asyncio
import hashlib
import os

import httpx
import pytest

from core.errors import InvalidRequest, NotFound, SettingsError, StorageFull, StoreUnavailable
from ingress.media.blobs import Blobs
from ingress.media.purge import AnswersPurge, CdnPurge
from ingress.media.sweeper import MediaSweeper
from tests.fakes.dispatch import principal
from tests.ingress.media.conftest import png

SYSTEMS = pytest.mark.parametrize("blobs_url", ["directory", "memory://media/test"], indirect=True)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def is_there(media, data: bytes) -> bool:
    try:
        size: int = await media.blobs.size(digest(data))
    except NotFound:
        return False
    return size == len(data)


async def sweep_everything(media) -> None:
    sweeper = MediaSweeper(media.store)
    while await sweeper.sweep():
        pass


@SYSTEMS
async def test_bytes_live_as_long_as_somebody_owns_them(media):
    first, second, data = await media.tenant(), await media.tenant(), png()
    kept = await media.put(first, "small", data, "image/png")
    assert kept.hash == digest(data)
    again = await media.put(second, "small", data, "image/png")
    read = b"".join([piece async for piece in media.store.pieces(again, 0, again.bytes)])
    assert read == data
    await media.store.delete(first, kept.hash)
    assert await is_there(media, data)
    await media.store.delete(second, kept.hash)
    assert not await is_there(media, data)


@SYSTEMS
async def test_the_same_bytes_put_at_once_by_many_are_kept_once(media):
    tenants, data = [await media.tenant() for _ in range(4)], png()
    await asyncio.gather(
        *(media.put(t, "small", data, "image/png") for t in tenants for _ in range(3))
    )
    for tenant in tenants:
        assert await media.used(tenant, "small") == (len(data), 10_000)
    assert await is_there(media, data)


@SYSTEMS
async def test_several_put_together_are_all_kept_or_none(media, monkeypatch):
    tenant, files = await media.tenant(), [(png(4_000), "image/png"), (png(4_000), "image/png")]
    who = principal(tenant_id=tenant, plan="small")
    kept = await media.store.put_all(who, [*files, files[0]])
    assert [each.hash for each in kept] == [digest(data) for data in (files[0][0], files[1][0])] + [
        digest(files[0][0])
    ]
    assert await media.used(tenant, "small") == (sum(len(data) for data, _ in files), 10_000)
    more = [(png(100), "image/png"), (png(4_000), "image/png")]
    with pytest.raises(StorageFull):
        await media.store.put_all(who, more)
    write = Blobs.write

    async def flaky(self, name, data):
        if data == more[1][0]:
            raise StoreUnavailable("the disk is full")
        await write(self, name, data)

    monkeypatch.setattr(Blobs, "write", flaky)
    more[1] = (png(200), "image/png")
    with pytest.raises(StoreUnavailable):
        await media.store.put_all(who, more)
    for data, _ in more:
        with pytest.raises(NotFound):
            await media.store.find(tenant, digest(data))
    assert await media.used(tenant, "small") == (sum(len(data) for data, _ in files), 10_000)
    with pytest.raises(InvalidRequest):
        await media.store.put_all(who, [*files, (b"", "image/png")])


async def test_the_same_files_put_together_in_any_order_do_not_wait_in_a_circle(media):
    tenant, files = await media.tenant("open"), [(png(200), "image/png") for _ in range(4)]
    who = principal(tenant_id=tenant, plan="open")
    orders = [files, files[::-1], files[1:] + files[:1]] * 6
    kept = await asyncio.gather(*(media.store.put_all(who, order) for order in orders))
    for order, media_of in zip(orders, kept, strict=True):
        assert [each.hash for each in media_of] == [digest(data) for data, _ in order]
    assert (await media.used(tenant, "open"))[0] == 800


async def test_putting_and_deleting_at_once_never_leaves_an_owner_without_bytes(media):
    data = png()
    tenants = [await media.tenant() for _ in range(3)]

    async def work(tenant):
        for _ in range(6):
            await media.put(tenant, "small", data, "image/png")
            if tenant is not tenants[0]:
                await media.store.delete(tenant, digest(data))

    await asyncio.gather(*map(work, tenants))
    assert await media.store.find(tenants[0], digest(data))
    assert await is_there(media, data)


async def test_a_store_that_fails_takes_no_room_and_says_so(media, monkeypatch):
    tenant, data = await media.tenant(), png()

    def broken(name, data):
        raise OSError("disk full")

    monkeypatch.setattr(media.blobs, "_write", broken)
    with pytest.raises(StoreUnavailable):
        await media.put(tenant, "small", data, "image/png")
    assert await media.used(tenant, "small") == (0, 10_000)
    monkeypatch.undo()
    await media.put(tenant, "small", data, "image/png")
    assert await is_there(media, data)


async def test_a_missing_bucket_is_an_outage_and_not_a_missing_picture(media, monkeypatch):
    def missing(name, data):
        raise FileNotFoundError("The specified bucket does not exist")

    monkeypatch.setattr(media.blobs, "_write", missing)
    with pytest.raises(StoreUnavailable):
        await media.put(await media.tenant(), "small", png(), "image/png")


async def test_what_no_url_was_given_of_goes_without_telling_caches(media):
    tenant, data = await media.tenant(), png()
    kept = await media.put(tenant, "small", data, "image/png")
    await media.store.discard(tenant, kept.hash)
    assert not await is_there(media, data)
    assert not media.purged
    with pytest.raises(NotFound):
        await media.store.discard(tenant, kept.hash)


async def test_a_caller_that_goes_away_leaves_nothing_half_done(media, monkeypatch):
    tenant, data = await media.tenant(), png()
    write, entered = media.blobs.write, asyncio.Event()

    async def slow(name, content):
        entered.set()
        await asyncio.sleep(0)
        await write(name, content)

    monkeypatch.setattr(media.blobs, "write", slow)
    putting = asyncio.create_task(media.put(tenant, "small", data, "image/png"))
    await entered.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    await asyncio.gather(*media.store._background)
    assert await media.store.find(tenant, digest(data))
    assert await is_there(media, data)


async def test_a_blob_that_cannot_be_deleted_waits_for_the_sweeper(media, monkeypatch):
    tenant, data = await media.tenant(), png()
    await media.put(tenant, "small", data, "image/png")

    def broken(name):
        raise OSError("away")

    monkeypatch.setattr(media.blobs, "_delete", broken)
    await media.store.delete(tenant, digest(data))
    assert await media.used(tenant, "small") == (0, 10_000)
    assert await is_there(media, data)
    monkeypatch.undo()
    await sweep_everything(media)
    assert not await is_there(media, data)


async def test_expired_media_are_swept_and_others_stay(media):
    tenant, old, new = await media.tenant(), png(), png()
    for data in (old, new):
        await media.put(tenant, "small", data, "image/png")
    await media.expire(tenant, digest(old))
    await sweep_everything(media)
    assert not await is_there(media, old)
    assert await is_there(media, new)
    assert await media.used(tenant, "small") == (len(new), 10_000)


async def test_a_sweep_while_a_store_is_away_tries_again_later(media, monkeypatch):
    async def away(limit):
        raise StoreUnavailable("the database does not answer")

    monkeypatch.setattr(media.ownership, "ended", away)
    assert await MediaSweeper(media.store).sweep() == 0


async def test_drafts_of_killed_writers_are_swept_and_running_ones_stay(media, tmp_path):
    drafts = tmp_path / "media" / "drafts"
    drafts.mkdir(parents=True)
    for name in ("old", "new"):
        (drafts / name).write_bytes(b"x")
    os.utime(drafts / "old", (0, 0))
    await media.store.sweep()
    assert [draft.name for draft in drafts.iterdir()] == ["new"]


async def in_pieces(data: bytes):
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


@SYSTEMS
async def test_what_comes_in_pieces_is_kept_as_what_came_whole(media, tmp_path):
    tenant, data = await media.tenant(), png(5_000)
    owner = principal(tenant_id=tenant, plan="small")
    for _ in range(2):
        kept = await media.store.put_pieces(owner, in_pieces(data), "image/png")
        assert (kept.hash, kept.bytes) == (digest(data), len(data))
    assert await media.store.read(kept) == data
    with pytest.raises(StorageFull):
        await media.store.put_pieces(owner, in_pieces(png(6_000)), "image/png")
    with pytest.raises(InvalidRequest):
        await media.store.put_pieces(owner, in_pieces(b""), "image/png")
    assert await media.used(tenant, "small") == (5_000, 10_000)
    assert not list(tmp_path.glob("media/drafts/*"))


async def test_a_blob_cut_short_by_a_crash_is_written_again(media):
    tenant, data = await media.tenant(), png()
    await media.put(tenant, "small", data, "image/png")
    (
        media.blobs._drafts().parent / digest(data)[:2] / digest(data)[2:4] / digest(data)
    ).write_bytes(data[:10])
    await media.put(tenant, "small", data, "image/png")
    assert await is_there(media, data)


async def test_terms_are_those_of_the_plan(media):
    tenant = await media.tenant("open")
    kept = await media.put(tenant, "open", png(50_000), "image/png")
    assert kept.expires_at is None
    kept = await media.put(await media.tenant(), "small", png(), "image/png")
    assert (kept.expires_at - kept.created_at).days in (29, 30)
    with pytest.raises(StorageFull):
        await media.put(tenant, "small", png(), "image/png")
    with pytest.raises(SettingsError):
        await media.put(tenant, "unheard-of", png(), "image/png")
    with pytest.raises(InvalidRequest):
        await media.put(tenant, "open", b"", "image/png")


async def test_a_full_plan_is_known_before_the_work(media):
    who = principal(tenant_id=await media.tenant(), plan="small")
    await media.store.publish(who, png(9_999), "image/png")
    await media.store.require_room(who)
    await media.store.publish(who, b"x", "image/png")
    with pytest.raises(StorageFull):
        await media.store.require_room(who)
    await media.store.require_room(principal(tenant_id=await media.tenant("open"), plan="open"))


async def test_urls_begin_with_the_public_address_where_one_is_set(media):
    media.store._public_url = "https://cdn.example.org/"
    url = await media.publish(await media.tenant(), png())
    assert url.startswith("https://cdn.example.org/media/")


def test_a_file_system_that_cannot_be_used_is_a_setting_at_fault():
    with pytest.raises(SettingsError, match="nosuch"):
        Blobs("nosuch://bucket")


async def test_only_the_owner_of_the_installation_can_enter_the_directory(media, tmp_path):
    await media.publish(await media.tenant(), png())
    assert (tmp_path / "media").stat().st_mode & 0o077 == 0


async def test_a_cdn_is_told_by_name_and_its_failures_are_not_ours(media):
    asked = []

    def cdn(request):
        asked.append((request.method, str(request.url)))
        if len(asked) == 2:
            raise httpx.ConnectError("refused")
        return httpx.Response(405 if len(asked) == 3 else 200)

    kept = await media.put(await media.tenant(), "small", png(), "image/png")
    purge = CdnPurge("http://cdn:8080/", httpx.MockTransport(cdn))
    for _ in range(3):
        await purge(kept)
    assert asked == [("PURGE", f"http://cdn:8080/media/{kept.hash}.png")] * 3


async def test_a_deletion_empties_the_tenants_answers(media):
    cleared = []

    async def clear(tenant_id):
        cleared.append(tenant_id)
        if len(cleared) > 1:
            raise StoreUnavailable("Valkey does not answer")
        return 1

    kept = await media.put(await media.tenant(), "small", png(), "image/png")
    purge = AnswersPurge(clear)
    await purge(kept)
    await purge(kept)
    assert cleared == [kept.tenant_id] * 2
