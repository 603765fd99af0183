"""Held-out questions of the starter schema, through the graph, with the shipped weights."""

import json
from typing import Any

import orjson
import pytest
import yaml

from core.model import CallContext, Reply
from core.settings import ROOT
from core.sql import SqlRequest
from core.work import WorkUnits
from graphs.sql import SqlAssist
from graphs.sql_assist.settings import SqlSettings
from models.starter_chat import SCHEMA
from models.starter_chat.corpus import held_out
from models.starter_chat.evaluate import Answerer

SEED = 2026
ENOUGH = 0.95
FORCED = '{"sql": "'
"""How a grammar begins the answer; the rest is the model's."""


class InProcess:
    """starter-chat in transformers, held to the JSON form as the engine holds it."""

    model = "starter-chat"

    def __init__(self) -> None:
        self.answerer = Answerer()

    async def answer(self, operation, request, call):
        messages = [{"role": m.role, "content": m.content} for m in request.messages]
        prompt = self.answerer.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        begun = FORCED if request.response_format else ""
        (text,) = self.answerer.complete([prompt + begun])
        choice = {"message": {"content": begun + text}, "finish_reason": "stop"}
        units = WorkUnits(input_tokens=len(prompt), output_tokens=len(text))
        call.done += units
        return Reply(json.dumps({"choices": [choice]}).encode(), units)


def configured() -> SqlSettings:
    """The settings that are served."""
    document = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    application = next(a for a in document["applications"] if a["name"] == "sql")
    return SqlSettings.model_validate(application["args"]["engine"])


@pytest.fixture(scope="module")
def graph():
    graph = SqlAssist(configured())
    chat: Any = InProcess()
    graph.chat = graph._assistant._chat = chat
    return graph


async def valid_and_planned(graph, count: int) -> tuple[float, list[str]]:
    """The share of held-out questions whose SQL passes every check and EXPLAIN, and the others."""
    wrong = []
    for conversation in held_out(SEED, "sql", count):
        question = conversation.messages[-2].text
        request = SqlRequest.model_validate({"query": question, "schema": SCHEMA.read_text()})
        answer = orjson.loads((await graph.assist(request, CallContext("r"))).body)
        if not (answer["valid"] and answer["plan"]):
            wrong.append(f"{question}: {answer['sql']}: {answer['errors']} {answer['warnings']}")
    return 1 - len(wrong) / count, wrong


async def test_a_sample_of_held_out_questions_parses_and_passes_explain(graph):
    share, wrong = await valid_and_planned(graph, 40)
    assert share >= ENOUGH, "\n".join(wrong)


@pytest.mark.slow
async def test_all_held_out_questions_parse_and_pass_explain(graph):
    share, wrong = await valid_and_planned(graph, 500)
    assert share >= ENOUGH, "\n".join(wrong)


@pytest.mark.parametrize("dialect", ["mysql", "sqlite", "bigquery", "snowflake"])
async def test_its_answers_are_translated(graph, dialect):
    asked = {"query": "Get all users created in last 30 days", "dialect": dialect}
    request = SqlRequest.model_validate(asked | {"schema": {"users": ["id", "created_at"]}})
    answer = orjson.loads((await graph.assist(request, CallContext("r"))).body)
    assert answer["valid"], answer


async def test_a_table_that_it_does_not_know_is_not_passed_off_as_right(graph):
    asked = {"query": "How many planets are there?", "schema": {"planets": ["id", "mass"]}}
    answer = orjson.loads(
        (await graph.assist(SqlRequest.model_validate(asked), CallContext("r"))).body
    )
    assert "planets" in (answer["sql"] or "") or not answer["valid"]
