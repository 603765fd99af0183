"""The job kind of batches: the rules of routes, outages, what killed processes leave, much data.

That real jobs survive `kill -9` is tested in `test_durable.py`, on a real cluster in `tests/e2e`.
"""

import asyncio
import tracemalloc
from contextlib import asynccontextmanager, suppress

import pytest
from pydantic import SecretStr

from auth.database import Database
from core.errors import InvalidRequest, ModelUnavailable, NotFound, StoreUnavailable
from graphs import batches as module
from graphs import patience
from ingress.media.blobs import Blobs
from tests.graphs.batch_world import DRAW, LONGEST, BatchWorld, line, said
from tests.ingress.video_world import picture
from tests.ingress.workflow_world import until

pytestmark = pytest.mark.timeout(120)
LONG = "long " * LONGEST


@pytest.fixture
async def world(database_url, tmp_path):
    database = Database(SecretStr(database_url))
    yield BatchWorld(database, tmp_path / "media")
    await database.aclose()


@pytest.fixture
def brief(monkeypatch):
    """Naps that take no time."""
    monkeypatch.setattr(patience, "LONGEST_NAP_S", 0.001)


@pytest.fixture(autouse=True)
def _soon_settled(monkeypatch):
    """What was cut short is settled before its line is tried in vain six times."""
    monkeypatch.setattr("ingress.settling.ORPHAN_GRACE_S", 0.01)


async def killed(world, job, answered):
    """The first piece is begun, and cut short when so many lines were answered."""
    work = asyncio.ensure_future(world.piece(job))
    await world.models.reached.wait()
    await until(lambda: world.charged == answered)
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
    world.models.die_at = None
    world.batches = world.process()


async def test_the_same_picture_is_drawn_anew_for_each_line_and_a_seed_is_kept_to(world):
    lines = [line(n, "a cat", DRAW) for n in range(3)]
    lines += [line(n, "a dog", DRAW, seed=7) for n in range(3, 5)]
    _, answers, errors = await world.ran(lines, DRAW)
    assert (len(answers), errors) == (5, {})
    assert world.models.asked == {"a cat": 3, "a dog": 1}


async def test_pictures_as_urls_are_in_the_media_store_as_long_as_they_are_kept(world):
    _, answers, _ = await world.ran([line(0, "a cat", DRAW, response_format="url")], DRAW)
    (drawn,) = answers["line-0"]["data"]
    assert "b64_json" not in drawn
    assert drawn["url"].startswith("https://here.example/")
    names = await world.database.fetch(
        "SELECT hash FROM media WHERE media_type = 'image/png' AND stored_at IS NOT NULL"
    )
    assert any(row["hash"] in drawn["url"] for row in names)


@asynccontextmanager
async def served_picture():
    """The URL of a picture on a server of this test."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        data = picture((64, 64))
        head = f"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/cat.png"
    server.close()


async def test_pictures_that_a_chat_points_to_are_fetched(world):
    async with served_picture() as url:
        content = [
            {"type": "text", "text": "what?"},
            {"type": "image_url", "image_url": {"url": url}},
        ]
        messages = [{"role": "user", "content": content}]
        _, answers, errors = await world.ran([line(0, messages=messages, model="starter-vision")])
    assert errors == {}
    assert said(answers["line-0"]) == "what? 1"


async def test_pictures_that_a_drawing_is_to_follow_are_fetched(world):
    async with served_picture() as url:
        _, _, errors = await world.ran([line(0, "a cat", DRAW, control_image=url)], DRAW)
    assert errors == {}
    assert world.models.calls[0].request.control_image.data == picture((64, 64))


async def test_an_outage_longer_than_the_tries_loses_no_line_and_charges_none_twice(world, brief):
    away = patience.TRIES + 4
    world.models.errors = {"n3": [ModelUnavailable("restarting")] * away}
    job, _ = await world.begun([line(n) for n in range(6)])
    with pytest.raises(ModelUnavailable):  # which the durable engine tries again
        await world.piece(job)
    assert (await world.book.read(job.id)).result["counts"]["completed"] == 0
    result, answers, errors = await world.finished(job, [await world.piece(job)])
    assert errors == {}
    assert {said(body) for body in answers.values()} == {f"n{n} 1" for n in (0, 1, 2, 4, 5)} | {
        f"n3 {away + 1}"
    }
    assert (world.charged, result["counts"]["completed"]) == (6, 6)


async def test_a_line_whose_model_stays_away_for_good_fails_and_the_others_do_not(world, brief):
    world.models.errors = {"n1": [ModelUnavailable("gone")] * 1000}
    job, _ = await world.begun([line(n) for n in range(3)])
    outcome = None
    for _ in range(7):
        with suppress(ModelUnavailable):
            outcome = await world.piece(job)
            break
    _, answers, errors = await world.finished(job, [outcome])
    assert set(answers) == {"line-0", "line-2"}
    assert errors["line-1"]["error"]["code"] == "model_unavailable"


@pytest.mark.parametrize("text", ["short", LONG])
async def test_what_a_killed_process_was_answered_is_neither_made_nor_charged_again(world, text):
    lines = [line(n, f"{text} {n}", temperature=0.5) for n in range(6)]
    job, _ = await world.begun(lines)
    world.models.die_at = f"{text} 5"
    await killed(world, job, 5)
    world.admission.cache.clear()  # which has its own time
    result, answers, _ = await world.finished(job, [await world.piece(job)])
    assert {said(body) for body in answers.values()} == {f"{text} {n} 1" for n in range(5)} | {
        f"{text} 5 2"
    }
    assert (world.charged, result["counts"]) == (6, {"total": 6, "completed": 6, "failed": 0})


async def test_a_process_killed_between_a_long_answer_and_its_charge_charges_it_once(world):
    job, _ = await world.begun([line(0, LONG)])
    settle = world.admission.settle
    charging = asyncio.Event()

    async def never(settlement):
        charging.set()
        await asyncio.Event().wait()

    world.admission.settle = never
    work = asyncio.ensure_future(world.piece(job))
    await charging.wait()
    work.cancel()
    world.admission.settle = settle
    assert world.charged == 0
    world.batches = world.process()
    _, answers, _ = await world.finished(job, [await world.piece(job)])
    assert said(answers["line-0"]) == f"{LONG} 1"
    assert world.charged == 1


async def test_a_piece_that_is_done_again_counts_once(world):
    job, count = await world.begun([line(n) for n in range(40)])
    assert count == 2
    for index in (0, 0, 1, 1):
        await world.piece(job, index)
    row = await world.book.read(job.id)
    assert row.result["counts"] == {"total": 40, "completed": 40, "failed": 0}
    assert row.progress == 1


async def test_a_store_that_fails_for_a_moment_costs_no_line_twice(world, brief, monkeypatch):
    write, failures = Blobs.write, [StoreUnavailable("full")] * 3

    async def flaky(self, name, data):
        if failures:
            raise failures.pop()
        await write(self, name, data)

    lines = [line(0, LONG), line(1)]
    job, _ = await world.begun(lines)
    monkeypatch.setattr(Blobs, "write", flaky)
    outcome = await world.piece(job)
    _, answers, _ = await world.finished(job, [outcome])
    assert (len(answers), world.charged, len(world.models.calls)) == (2, 2, 2)


async def test_the_end_of_a_batch_takes_little_memory_and_may_be_repeated(world):
    job, _ = await world.begun([line(0)])
    (owner,) = [job.tenant_id]
    principal = await world.identifier.identify(owner)
    parts = [
        (await world.store.put(principal, bytes([n]) * 2**21, "application/jsonl")).hash
        for n in range(16)
    ]
    outcomes = [{"completed": 1, "failed": 0, "output": [part], "errors": []} for part in parts]
    tracemalloc.start()
    first = await world.batches.finish(job, outcomes)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 2**20, "of 32 MiB"
    file = await world.files.find(owner, first["output_file_id"])
    assert file.bytes == 16 * 2**21
    assert await world.batches.finish(job, outcomes) == first
    with pytest.raises(NotFound):
        await world.store.find(owner, parts[0])


async def test_lines_beyond_the_most_bytes_are_refused_and_cost_nothing(world, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    _, answers, errors = await world.ran([line(n) for n in range(40)])
    assert (len(answers), len(errors), len(world.models.calls)) == (32, 8, 32)
    assert errors["line-39"]["error"]["code"] == "body_too_large"


async def test_answers_are_forgotten_when_their_piece_is_done(world):
    await world.ran([line(n, temperature=0.5) for n in range(40)])
    assert world.admission.once == {}


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([line(1), line(1)], "request 2: 'custom_id' 'line-1' is there twice"),
        ([line(1), ["no"]], "request 2 is not an object"),
        ([line(1, stream=True)], "'stream' cannot be true"),
        ([], "no requests"),
    ],
)
async def test_a_bad_line_is_named_before_anything_is_spent(world, lines, fault):
    with pytest.raises(InvalidRequest, match=fault):
        await world.begun(lines)
