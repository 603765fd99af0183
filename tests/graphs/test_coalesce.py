"""Coalescing: nothing lost, nothing reordered, the first piece at once."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.model import Chunk
from core.work import WorkUnits
from graphs.coalesce import coalesce


async def source(pieces, pause_s=0.0, error=None, closed=None):
    try:
        for count, piece in enumerate(pieces, start=1):
            yield Chunk(piece, WorkUnits(output_tokens=count))
            await asyncio.sleep(pause_s)
        if error:
            raise error
    finally:
        if closed is not None:
            closed.append(True)


async def collect(chunks):
    return [chunk async for chunk in chunks]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=4), min_size=1, max_size=30))
async def test_every_byte_arrives_once_and_in_order(pieces):
    chunks = await collect(coalesce(source(pieces), 0.001))
    assert b"".join(chunk.data for chunk in chunks) == b"".join(pieces)
    assert chunks[-1].units.output_tokens == len(pieces)
    assert [chunk.last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


async def test_pieces_that_arrive_together_travel_together():
    chunks = await collect(coalesce(source([b"x"] * 200), 0.05))
    assert len(chunks) <= 3


async def test_the_first_piece_does_not_wait_for_the_interval():
    async def slow():
        yield Chunk(b"first")
        await asyncio.sleep(30)
        yield Chunk(b"second")

    chunks = coalesce(slow(), 10)
    first = await asyncio.wait_for(anext(chunks), 1)
    assert first.data == b"first"
    await chunks.aclose()


async def test_closing_early_closes_the_source():
    closed: list[bool] = []
    chunks = coalesce(source([b"a", b"b", b"c"], 0.05, closed=closed), 0.01)
    await anext(chunks)
    await chunks.aclose()
    assert closed == [True]


async def test_an_error_follows_what_came_before_it():
    chunks = coalesce(source([b"a", b"b"], 0.01, error=ValueError("broken")), 0.001)
    seen = []

    async def read():
        async for chunk in chunks:
            seen.extend([chunk.data])

    with pytest.raises(ValueError, match="broken"):
        await read()
    assert b"".join(seen) == b"ab"


async def test_an_empty_source_ends_with_an_empty_last_chunk():
    chunks = await collect(coalesce(source([]), 0.001))
    assert [(chunk.data, chunk.last) for chunk in chunks] == [(b"", True)]


async def test_a_source_slower_than_the_interval_is_not_held_back():
    """Five pieces 30 ms apart: waiting another 20 ms for each would gather nothing."""
    chunks = await collect(coalesce(source([b"x"] * 5, 0.03), 0.02))
    assert [chunk.data for chunk in chunks if chunk.data] == [b"x"] * 5
