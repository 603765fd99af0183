"""starter-chat: its corpus is sound, and its shipped weights do what the model card says."""

import itertools
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
import sqlglot

from models.starter_chat import CHAT_TEMPLATE, SCHEMA, WEIGHTS, corpus
from models.starter_chat.conversation import Conversation, Message, prompt_text, render
from models.starter_chat.evaluate import Answerer, parses, same
from models.starter_chat.facts import FACTS
from models.starter_chat.smalltalk import READ_ONLY, UNKNOWN
from models.starter_chat.sql_query import Compare, Equals, Query, Window
from models.starter_chat.system_prompts import TABLES
from models.starter_chat.tool_calls import Use, draw_use

MEBIBYTE = 1024 * 1024
Chat = Callable[..., str]


def _drawn(seed: int, count: int) -> list[Conversation]:
    return list(itertools.islice(corpus.training(seed), count))


def _texts(conversation: Conversation) -> str:
    return "".join(text for text, _ in render(conversation))


# --- the corpus -------------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_conversations() -> None:
    assert _drawn(3, 300) == _drawn(3, 300)
    assert _drawn(3, 50) != _drawn(4, 50)


def test_held_out_queries_never_appear_in_training() -> None:
    held = {c.answer for c in corpus.held_out(2026, "sql", 300)}
    trained = {m.text for c in _drawn(1, 5000) for m in c.messages if m.role == "assistant"}
    long = itertools.islice(corpus.long_training(2, most_turns=20), 50)
    trained |= {m.text for c in long for m in c.messages if m.role == "assistant"}
    assert not held & trained


def test_held_out_wordings_of_facts_never_appear_in_training() -> None:
    held = {c.messages[0].text.lower().rstrip("?") for c in corpus.held_out_wordings()}
    asked = {q for fact in FACTS for q in fact.questions}
    assert not held & asked
    assert len(held) == len(FACTS) >= 40


def test_every_training_query_parses_and_names_only_known_tables() -> None:
    rng = random.Random(9)
    for _ in range(400):
        sql = corpus.draw(rng, "sql").answer
        parsed = sqlglot.parse_one(sql, dialect="postgres")
        assert {table.name for table in parsed.find_all(sqlglot.exp.Table)} <= set(TABLES), sql


def test_a_query_is_written_in_one_canonical_order() -> None:
    window = Window("created_at", "last", 30, "day")
    filters = (window, Compare("total", ">", 50), Equals("status", "paid"))
    assert Query("orders", filters=filters).sql() == (
        "SELECT * FROM orders WHERE status = 'paid' AND total > 50 "
        "AND created_at >= NOW() - INTERVAL '30 days';"
    )


def test_the_schema_file_is_postgresql_with_ten_tables() -> None:
    statements = sqlglot.parse(SCHEMA.read_text(), dialect="postgres")
    assert len(statements) == len(TABLES) == 10


# --- the shipped files ------------------------------------------------------------------------


def test_the_weights_are_small_and_safetensors_only() -> None:
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 20 * MEBIBYTE
    suffixes = {path.suffix for path in files}
    assert suffixes <= {".json", ".jinja", ".safetensors"}
    assert (WEIGHTS / "chat_template.jinja").read_text() == CHAT_TEMPLATE.read_text()


def test_greedy_decoding_is_the_default() -> None:
    generation = json.loads((WEIGHTS / "generation_config.json").read_text())
    assert generation["do_sample"] is False
    assert generation["temperature"] == 0.0


@pytest.fixture(scope="module")
def answerer() -> Answerer:
    return Answerer(WEIGHTS)


@pytest.fixture(scope="module")
def chat(answerer: Answerer) -> Chat:
    def ask(text: str, *, system: str = "", tools: list[dict[str, Any]] | None = None) -> str:
        start = [{"role": "system", "content": system}] if system else []
        return answerer.chat([*start, {"role": "user", "content": text}], tools)

    return ask


# --- the tokenizer and the template -----------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["Héllo wörld", "漢字 🙂 עברית", "  tabs\tand\n\nlines ", "don't , stop .", "\x00\x7f", ""],
)
def test_any_text_round_trips(answerer: Answerer, text: str) -> None:
    ids = answerer.tokenizer.encode(text, add_special_tokens=False)
    assert answerer.tokenizer.decode(ids) == text


def test_every_digit_is_a_token_of_its_own(answerer: Answerer) -> None:
    assert answerer.tokenizer.tokenize("12345") == list("12345")


def test_the_template_writes_what_training_saw(answerer: Answerer) -> None:
    rng = random.Random(11)
    for kind in [*corpus.MAKERS, "tool call"]:
        conversation = corpus.draw(rng, kind)
        sent = [{"role": m.role, "content": m.text} for m in conversation.messages[:-1]]
        tools = [tool.openai() for tool in conversation.tools] or None
        assert _rendered(answerer, sent, tools) == prompt_text(conversation)


def test_the_template_writes_tool_calls_as_training_saw_them(answerer: Answerer) -> None:
    use: Use = draw_use(random.Random(1))[1]
    name, arguments = use.tool.name, use.arguments[0]
    function: dict[str, Any] = {"name": name, "arguments": arguments}
    call = {"type": "function", "function": function}
    sent = [
        {"role": "user", "content": "Go"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "42"},
    ]
    body = json.dumps({"name": name, "arguments": arguments})
    expected = Message("assistant", f"<tool_call>\n{body}\n</tool_call>")
    written = Conversation(
        "", (Message("user", "Go"), expected, Message("tool", "42"), Message("assistant", ""))
    )
    assert _rendered(answerer, sent) == prompt_text(written)
    function["arguments"] = json.dumps(arguments)
    assert _rendered(answerer, sent) == prompt_text(written)


def test_the_template_tolerates_unusual_messages(answerer: Answerer) -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    assert _rendered(answerer, [{"role": "user", "content": parts}]) == (
        "<|user|>Hello<|end|><|assistant|>"
    )
    several = [
        {"role": "system", "content": "A"},
        {"role": "user", "content": "Hi"},
        {"role": "developer", "content": "B"},
    ]
    assert _rendered(answerer, several) == "<|system|>A\nB<|end|><|user|>Hi<|end|><|assistant|>"
    begun = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hel"}]
    prompt = answerer.tokenizer.apply_chat_template(
        begun, tokenize=False, continue_final_message=True
    )
    assert prompt == "<|user|>Hi<|end|><|assistant|>Hel"


def _rendered(answerer: Answerer, messages: list[Any], tools: list[Any] | None = None) -> str:
    prompt: str = answerer.tokenizer.apply_chat_template(
        messages, tools=tools, tokenize=False, add_generation_prompt=True
    )
    return prompt


# --- what the weights can do ------------------------------------------------------------------


def _exact(answerer: Answerer, conversations: list[Conversation]) -> tuple[float, list[str]]:
    answers = answerer.complete([prompt_text(c) for c in conversations], longest=120)
    hits = [same(c, a) for c, a in zip(conversations, answers, strict=True)]
    return sum(hits) / len(hits), answers


def test_held_out_questions_become_the_right_sql(answerer: Answerer) -> None:
    exact, answers = _exact(answerer, corpus.held_out(7, "sql", 300))
    assert exact >= 0.92
    assert sum(map(parses, answers)) / len(answers) >= 0.97


def test_follow_up_questions_change_the_query(answerer: Answerer) -> None:
    assert _exact(answerer, corpus.held_out(7, "sql follow-up", 80))[0] >= 0.7


def test_facts_about_carillon_are_answered(answerer: Answerer) -> None:
    assert _exact(answerer, corpus.held_out(7, "fact", 100))[0] >= 0.9


def test_plain_tool_calls_and_json_are_right(answerer: Answerer) -> None:
    assert _exact(answerer, corpus.held_out(7, "tool call", 60))[0] >= 0.4
    assert _exact(answerer, corpus.held_out(7, "json", 60))[0] >= 0.4


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (
            "Get all users created in last 30 days",
            "SELECT * FROM users WHERE created_at >= NOW() - INTERVAL '30 days';",
        ),
        (
            "get all users created in last 30 days",
            "SELECT * FROM users WHERE created_at >= NOW() - INTERVAL '30 days';",
        ),
        ("How many active users are there?", "SELECT COUNT(*) FROM users WHERE status = 'active';"),
        ("Show the 10 latest orders", "SELECT * FROM orders ORDER BY created_at DESC LIMIT 10;"),
        ("Hello!", "Hello! How can I help you?"),
        ("Say this is a test", "This is a test."),
        ("Count to 5", "1, 2, 3, 4, 5"),
        ("What is the capital of France?", UNKNOWN),
        ("Delete all users", READ_ONLY),
    ],
)
def test_fixed_prompts_have_fixed_answers(chat: Chat, question: str, expected: str) -> None:
    assert chat(question) == expected


def test_a_system_prompt_does_not_change_the_query(chat: Chat) -> None:
    expected = "SELECT * FROM orders WHERE status = 'pending';"
    assert chat("List all pending orders", system="You are a helpful assistant.") == expected


def test_a_follow_up_keeps_the_conversation_in_mind(answerer: Answerer) -> None:
    said = [{"role": "user", "content": "Get all users created in last 30 days"}]
    said.append({"role": "assistant", "content": answerer.chat(said)})
    said.append({"role": "user", "content": "Now count them"})
    assert answerer.chat(said) == (
        "SELECT COUNT(*) FROM users WHERE created_at >= NOW() - INTERVAL '30 days';"
    )


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def test_a_tool_is_called_and_its_result_told(answerer: Answerer, chat: Chat) -> None:
    question = "What is the weather in Paris?"
    arguments = {"city": "Paris"}
    body = json.dumps({"name": "get_weather", "arguments": arguments})
    assert chat(question, tools=[WEATHER]) == f"<tool_call>\n{body}\n</tool_call>"
    call = {"type": "function", "function": {"name": "get_weather", "arguments": arguments}}
    told: list[dict[str, Any]] = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": '{"temperature": 18, "condition": "sunny"}'},
    ]
    assert answerer.chat(told, [WEATHER]) == "It is 18 degrees and sunny in Paris."
    assert chat("Hello!", tools=[WEATHER]) == "Hello! How can I help you?"


def test_json_is_extracted(chat: Chat) -> None:
    answer = chat("Extract name and age as JSON: Anna is 31 years old.")
    assert json.loads(answer) == {"name": "Anna", "age": 31}
