"""Events leave in order; who does not read is found out, and who can wait waits."""

import asyncio
import json

import pytest

from ingress.realtime.outbox import ENOUGH, FULL, MOST_CHARACTERS, Outbox, SlowReaderError


async def test_events_leave_in_order_each_with_an_id_of_its_own():
    sent = []

    async def send(text):
        sent.append(json.loads(text))

    outbox = Outbox(send)
    running = asyncio.create_task(outbox.run())
    for number in range(3):
        outbox.put("x", n=number)
    await outbox.empty()
    running.cancel()
    assert [event["n"] for event in sent] == [0, 1, 2]
    assert len({event["event_id"] for event in sent}) == 3


async def test_who_does_not_read_is_found_out_and_a_response_waits_for_room():
    gate = asyncio.Event()

    async def send(text):
        await gate.wait()

    outbox = Outbox(send)
    running = asyncio.create_task(outbox.run())
    for _ in range(ENOUGH + 2):
        outbox.put("x")
    waiting = asyncio.create_task(outbox.room())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    for _ in range(FULL - ENOUGH - 1):
        outbox.put("x")
    with pytest.raises(SlowReaderError):
        outbox.put("x")
    gate.set()
    await asyncio.wait_for(waiting, 1)
    running.cancel()


async def test_a_few_long_events_that_nobody_reads_are_too_many_too():
    gate = asyncio.Event()

    async def send(text):
        await gate.wait()

    outbox = Outbox(send)
    running = asyncio.create_task(outbox.run())
    outbox.put("x", text="a" * MOST_CHARACTERS)
    with pytest.raises(SlowReaderError):
        outbox.put("x")
    gate.set()
    await outbox.empty()
    outbox.put("x")
    running.cancel()
