"""The job kind of videos: what is made again, what is free, what is left behind.

Jobs run in this process (`tests.ingress.video_world`). That real ones survive `kill -9` is tested
in `test_durable.py`, and on a real cluster in `tests/e2e`.
"""

import asyncio

import pytest
from pydantic import SecretStr

from auth.database import Database
from auth.principal import Scope
from core.errors import InvalidRequest, ModelUnavailable, StoreUnavailable
from core.work import NO_WORK
from graphs.video_events import events_of
from ingress.media.store import MediaStore
from tests.ingress.test_videos_http import VIDEOS, begun, ended
from tests.ingress.video_world import VideoWorld, pixel_ms

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def world(database_url, tmp_path):
    world = VideoWorld(Database(SecretStr(database_url)), tmp_path / "media")
    yield world
    await world.close()


@pytest.fixture
async def key(world):
    return await world.tenant()


@pytest.fixture
async def client(world, key):
    async with world.http(key) as client:
        yield client


async def test_a_process_that_goes_away_bills_nothing_and_the_next_one_makes_the_same(
    world, client
):
    world.studio.hold_at = 3
    video = await begun(client)
    await world.studio.held.wait()
    world.runner.tasks[video["id"]].cancel()
    world.studio.hold_at = None
    await world.runner.run(video["id"])
    assert (await ended(client, video["id"]))["status"] == "completed"
    await asyncio.sleep(0.05)
    assert [s.status_code for s in world.settlements] == [503, 200]
    assert [s.units for s in world.settlements] == [NO_WORK, pixel_ms(64, 64, 4)]
    first, second = world.studio.calls
    assert first.request == second.request


async def test_what_a_killed_process_held_is_given_back_by_the_next_one(world, client):
    world.runner.paused = True
    video = await begun(client)
    job = await world.book.begin(video["id"])
    call = await world.videos._call(job)
    principal = await world.path.identify(job.api_key_id, Scope.INFERENCE)
    await world.path._admit(call, job.api_key_id, principal)
    await world.book.advance(job, 0.5, {"attempt": call.request_id})
    await world.runner.run(video["id"])
    assert (await ended(client, video["id"]))["status"] == "completed"
    assert [(s.status_code, s.units) for s in world.settlements] == [
        (503, NO_WORK),
        (200, pixel_ms(64, 64, 4)),
    ]
    assert not world.admission.reservations


async def test_a_killed_model_is_waited_for_and_what_it_lost_is_free(world, client):
    world.studio.errors = [ModelUnavailable("killed", None, 0.01)]
    video = await ended(client, (await begun(client))["id"])
    assert video["status"] == "completed"
    assert [(s.status_code, s.units) for s in world.settlements] == [
        (503, NO_WORK),
        (200, pixel_ms(64, 64, 4)),
    ]


async def test_a_video_that_kills_its_model_each_time_fails(world, client):
    world.studio.errors = [ModelUnavailable("killed", None, 0.01)] * 9
    video = await ended(client, (await begun(client))["id"])
    assert (video["status"], len(world.studio.calls)) == ("failed", 3)
    assert "3 times" in video["error"]["message"]
    assert world.billed == NO_WORK


async def test_what_the_model_refuses_fails_the_video_with_its_words(world, client):
    world.studio.errors = [InvalidRequest("too dark", "input_reference")]
    video = await ended(client, (await begun(client))["id"])
    assert (video["status"], video["completed_at"]) == ("failed", None)
    assert video["error"] == {"code": "invalid_request", "message": "too dark"}


async def test_a_video_cancelled_at_the_last_moment_leaves_nothing(world, key, client):
    world.runner.paused = True
    video = await begun(client)
    job = await world.book.begin(video["id"])
    await client.post(f"{VIDEOS}/{video['id']}/cancel")
    await world.videos.piece(job, 0)
    assert await world.stored(key) == 0


async def test_a_store_that_fails_for_a_while_costs_no_second_drawing(world, client, monkeypatch):
    put, failures = MediaStore.put_all, [StoreUnavailable("full", None, 0.01)] * 4

    async def flaky(self, *arguments):
        if failures:
            raise failures.pop()
        return await put(self, *arguments)

    monkeypatch.setattr(MediaStore, "put_all", flaky)
    video = await ended(client, (await begun(client))["id"])
    assert video["status"] == "completed"
    assert [(s.status_code, s.units) for s in world.settlements] == [(200, pixel_ms(64, 64, 4))]
    assert len(world.studio.calls) == 1


async def test_a_store_that_stays_away_leaves_the_drawing_free(world, client, monkeypatch):
    async def away(self, *arguments):
        raise StoreUnavailable("gone", None, 0.001)

    world.runner.paused = True
    video = await begun(client)
    await world.database.execute("UPDATE jobs SET expires_at = now() WHERE id = $1", video["id"])
    with monkeypatch.context() as patch:
        patch.setattr(MediaStore, "put_all", away)
        patch.setattr("graphs.patience.TRIES", 1)
        job = await world.book.begin(video["id"])
        with pytest.raises(StoreUnavailable):
            await world.videos.piece(job, 0)
    assert world.billed == NO_WORK
    await world.runner.run(video["id"])
    assert (await ended(client, video["id"]))["status"] == "completed"
    assert world.billed == pixel_ms(64, 64, 4)


@pytest.mark.parametrize("settled", [False, True])
async def test_a_process_killed_after_the_last_step_has_the_next_one_neither_draw_nor_charge_again(
    world, client, monkeypatch, settled
):
    world.runner.paused = True
    video = await begun(client)
    job = await world.book.begin(video["id"])
    settle, reached = world.admission.settle, asyncio.Event()

    async def killed(settlement):
        if settled:
            await settle(settlement)
        reached.set()
        await asyncio.Event().wait()

    world.admission.settle = killed
    dying = asyncio.ensure_future(world.videos.piece(job, 0))
    await reached.wait()
    world.admission.settle = settle
    await world.runner.run(video["id"])
    dying.cancel()
    assert (await ended(client, video["id"]))["status"] == "completed"
    assert [(s.status_code, s.units) for s in world.settlements] == [(200, pixel_ms(64, 64, 4))]
    assert len(world.studio.calls) == 1


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_events_are_read_however_the_stream_is_cut(size):
    data = b': waiting\n\nevent: a\ndata: {"type":"a"}\n\ndata: {"type":"b","text":"x\\ny"}\n\n'

    async def pieces():
        for start in range(0, len(data), size):
            yield data[start : start + size]

    events = [event async for event in events_of(pieces())]
    assert events == [{"type": "a"}, {"type": "b", "text": "x\ny"}]
