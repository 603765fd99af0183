"""Rows of a batch: what reaches a caller while tokens arrive, and when a row ends."""

import pytest

from core.errors import ContextOverflow
from deployments.vision_rows import Row, Sampling

END = 0
ENDS = frozenset({END})


def decode(ids):
    """Token n is the n-th byte value; the end is no text."""
    return bytes(i for i in ids if i != END).decode("utf-8", errors="replace")


async def said(text, **fields):
    """Pieces of a row that is fed the bytes of `text`, then the end."""
    row = Row([], fields.pop("limit", 100), **fields)
    for byte in [*text.encode(), END]:
        row.add(byte, ENDS, decode)
    return [piece async for piece in row.pieces()]


async def test_pieces_add_up_to_the_text_and_count_every_token():
    pieces = await said("hello")
    assert "".join(p.text for p in pieces) == "hello"
    assert [p.output_tokens for p in pieces] == [1, 2, 3, 4, 5, 6]
    assert [p.finish for p in pieces] == [None] * 5 + ["stop"]


async def test_half_a_character_waits_for_its_other_half():
    pieces = await said("aé漢🙂")
    assert [p.text for p in pieces if p.text] == ["a", "é", "漢", "🙂"]


async def test_the_limit_ends_a_row():
    pieces = await said("hello", limit=3)
    assert "".join(p.text for p in pieces) == "hel"
    assert (pieces[-1].finish, pieces[-1].output_tokens) == ("length", 3)


async def test_a_stop_string_is_never_shown_not_even_its_beginning():
    pieces = await said("one two three", stops=("two",))
    assert "".join(p.text for p in pieces) == "one "
    assert pieces[-1].finish == "stop"


async def test_what_only_began_like_a_stop_string_is_shown_after_all():
    pieces = await said("one twin", stops=("two", "##"))
    assert "".join(p.text for p in pieces) == "one twin"
    assert (await said("ends in tw", stops=("two",)))[-1].text == "tw"


async def test_a_caller_who_leaves_ends_the_row():
    row = Row([], 100)
    row.add(ord("a"), ENDS, decode)
    pieces = row.pieces()
    assert (await anext(pieces)).text == "a"
    await pieces.aclose()
    assert row.done
    row.add(ord("b"), ENDS, decode)
    assert row.ids == [ord("a")]


async def test_failures_reach_the_caller_ours_as_they_are():
    for error, kind in (
        (ContextOverflow("too long", "messages"), ContextOverflow),
        (KeyError("x"), RuntimeError),
    ):
        row = Row([], 100)
        row.fail(error)
        with pytest.raises(kind):
            await anext(row.pieces())


async def test_only_alike_rows_go_together_and_a_seed_goes_alone():
    assert Row([], 1).key == Row([], 9).key
    assert Row([], 1).key != Row([], 1, pictures=1).key
    assert Row([], 1).key != Row([], 1, Sampling(temperature=0.5)).key
    seeded = Sampling(temperature=0.5, seed=7)
    assert Row([], 1, seeded).key != Row([], 1, seeded).key


def test_sampling_options_are_those_that_generate_takes():
    assert Sampling().options() == {"do_sample": False}
    assert Sampling(temperature=0.0, top_p=0.5).options() == {"do_sample": False}
    assert Sampling(temperature=0.7, top_p=0.5, repetition_penalty=1.1).options() == {
        "do_sample": True,
        "temperature": 0.7,
        "top_p": 0.5,
        "repetition_penalty": 1.1,
    }
