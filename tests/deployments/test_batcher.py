"""The batch queue: who is drawn with whom, who waits for company, and who is not drawn at all."""

import asyncio
import threading

import pytest

from deployments.batcher import Batcher


class Worker:
    """Doubles numbers; holds each batch until told to go on."""

    def __init__(self):
        self.batches = []
        self.started = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.steps = 0

    def __call__(self, batch):
        self.batches.append((batch.kind, list(batch.jobs)))
        self.started.release()
        self.go.acquire()
        batch.checkpoint()
        self.steps += 1
        if "bad" in batch.jobs:
            raise ValueError("bad")
        return [job * 2 for job in batch.jobs]


@pytest.fixture
def worker():
    return Worker()


@pytest.fixture
def batcher(worker):
    return Batcher(worker, most=3, wait_s=0.0)


async def blocked(batcher, worker):
    """A first batch that keeps the worker busy, so that a queue can form."""
    first = asyncio.ensure_future(batcher.submit("first", 0, 0))
    await asyncio.to_thread(worker.started.acquire)
    return first


async def test_items_of_one_kind_that_wait_are_drawn_together(batcher, worker):
    first = await blocked(batcher, worker)
    waiting = [asyncio.ensure_future(batcher.submit("a", n, n)) for n in (1, 2)]
    other = asyncio.ensure_future(batcher.submit("b", 9, 9))
    third = asyncio.ensure_future(batcher.submit("a", 3, 3))
    await asyncio.sleep(0)
    worker.go.release(3)
    assert await asyncio.gather(first, *waiting, third, other) == [0, 2, 4, 6, 18]
    assert worker.batches == [("first", [0]), ("a", [1, 2, 3]), ("b", [9])]


async def test_a_batch_takes_no_more_than_its_most(batcher, worker):
    first = await blocked(batcher, worker)
    many = [asyncio.ensure_future(batcher.submit("a", n, n)) for n in range(5)]
    await asyncio.sleep(0)
    worker.go.release(3)
    await asyncio.gather(first, *many)
    assert [jobs for _, jobs in worker.batches[1:]] == [[0, 1, 2], [3, 4]]


async def test_whoever_gives_up_in_the_queue_is_not_drawn(batcher, worker):
    first = await blocked(batcher, worker)
    gone = asyncio.ensure_future(batcher.submit("a", 1, 1))
    stays = asyncio.ensure_future(batcher.submit("a", 2, 2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    worker.go.release(2)
    assert await asyncio.gather(first, stays) == [0, 4]  # type: ignore[comparison-overlap]
    assert worker.batches[1:] == [("a", [2])]


async def test_a_batch_nobody_waits_for_stops_at_its_next_step(batcher, worker):
    first = await blocked(batcher, worker)
    first.cancel()
    await asyncio.sleep(0)
    worker.go.release(2)
    assert await batcher.submit("next", 5, 5) == 10
    assert worker.steps == 1


async def test_a_batch_goes_on_while_one_of_it_still_waits(batcher, worker):
    blocker = await blocked(batcher, worker)
    gone = asyncio.ensure_future(batcher.submit("a", 1, 1))
    stays = asyncio.ensure_future(batcher.submit("a", 2, 2))
    await asyncio.sleep(0)
    worker.go.release()
    await asyncio.to_thread(worker.started.acquire)
    gone.cancel()
    await asyncio.sleep(0)
    worker.go.release()
    assert await stays == 4
    assert await blocker == 0


async def test_an_error_reaches_everyone_in_the_batch_and_the_queue_goes_on(batcher, worker):
    worker.go.release(3)
    first = asyncio.ensure_future(batcher.submit("a", "bad", "bad"))
    second = asyncio.ensure_future(batcher.submit("a", 2, 2))
    for failed in (first, second):
        with pytest.raises(ValueError, match="bad"):
            await failed
    assert await batcher.submit("a", 7, 7) == 14


async def waited(batcher, work):
    """Seconds that `work` took to begin and end, with a worker that takes no time."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await work
    return loop.time() - began


async def test_only_who_had_company_lately_waits_for_more(worker):
    worker.go.release(100)
    batcher = Batcher(worker, most=3, wait_s=0.2)
    alone = [await waited(batcher, batcher.submit("a", n, n)) for n in range(3)]
    assert max(alone) < 0.2
    both = asyncio.gather(batcher.submit("a", 1, "one"), batcher.submit("a", 2, "other"))
    assert await waited(batcher, both) < 0.2
    assert await waited(batcher, batcher.submit("a", 3, "third")) >= 0.2
    assert await waited(batcher, batcher.submit("a", 4, "fourth")) < 0.2


async def test_the_jobs_of_one_caller_are_no_company(worker):
    worker.go.release(100)
    batcher = Batcher(worker, most=3, wait_s=0.2)
    for _ in range(2):
        jobs = asyncio.gather(*(batcher.submit("a", n, "one") for n in range(2)))
        assert await waited(batcher, jobs) < 0.2
    assert [jobs for _, jobs in worker.batches] == [[0, 1], [0, 1]]
