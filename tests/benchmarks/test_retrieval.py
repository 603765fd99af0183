"""The questions that ship with RAG, over the real model and the default store."""

import pytest

from benchmarks.retrieval import measure, pages, questions


def test_the_answer_of_every_question_is_on_its_page():
    asked = questions(pages())
    assert len(asked) >= 60
    assert len({question.text for question in asked}) == len(asked)


@pytest.mark.timeout(300)
async def test_nine_of_ten_answers_are_among_the_first_five_and_reranking_moves_them_up(
    database_url: str, monkeypatch
):
    monkeypatch.setenv("DATABASE_URL", database_url)
    measured = await measure(database_url)
    found = {mode: each.found for mode, each in measured.items()}
    assert found["hybrid"] >= 0.9, measured
    assert found["hybrid"] >= max(found["keyword"], found["vector"]) - 0.05, measured
    plain, sorted_ = measured["hybrid"], measured["reranked"]
    assert sorted_.reciprocal_rank >= plain.reciprocal_rank + 0.03, measured
    assert sorted_.first >= plain.first + 0.05, measured
    assert sorted_.found >= plain.found - 0.05, measured
