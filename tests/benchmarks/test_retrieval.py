"""The questions that ship with RAG, over the real model and the default store."""

import pytest

from benchmarks.retrieval import measure, pages, questions


def test_the_answer_of_every_question_is_on_its_page():
    asked = questions(pages())
    assert len(asked) >= 60
    assert len({question.text for question in asked}) == len(asked)


@pytest.mark.timeout(300)
async def test_nine_of_ten_answers_are_among_the_first_five_passages(
    database_url: str, monkeypatch
):
    monkeypatch.setenv("DATABASE_URL", database_url)
    shares = await measure(database_url)
    assert shares["hybrid"] >= 0.9, shares
    assert shares["hybrid"] >= max(shares["keyword"], shares["vector"]) - 0.05, shares
