"""Branches overlap, keep their order, and end together."""

import asyncio
import time

import pytest

from graphs.branches import together


async def after(seconds, value):
    await asyncio.sleep(seconds)
    return value


async def test_branches_overlap_and_keep_their_order():
    started = time.perf_counter()
    assert await together(after(0.2 - i / 50, i) for i in range(8)) == list(range(8))
    assert time.perf_counter() - started < 0.6  # one after the other takes a second


async def test_when_one_fails_none_of_the_others_goes_on():
    stopped = []

    async def lasting():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.append(True)
            raise

    async def failing():
        await asyncio.sleep(0.01)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await together([lasting(), failing(), lasting()])
    await asyncio.sleep(0)
    assert stopped == [True, True]


async def test_leaving_stops_all():
    stopped = asyncio.Event()

    async def lasting():
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    task = asyncio.ensure_future(together([lasting()]))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stopped.is_set()
