"""Chat requests: what is refused, and what is reserved."""

import base64
import io
from typing import get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from openai.types.completion_create_params import (
    CompletionCreateParamsBase as PlainCompletionParams,
)
from PIL import Image
from pydantic import ValidationError

from core.chat import (
    MAX_CHOICES,
    ChatRequest,
    CompletionRequest,
    estimate_chat,
    estimate_completion,
)
from core.model import ModelCard
from deployments.llm import SPEC
from models.starter_chat import WEIGHTS

CARD = ModelCard(id="m", spec="x:SPEC", context_window=1000, max_output_tokens=100)
HELLO = [{"role": "user", "content": "hello"}]


def test_an_unknown_field_is_refused():
    with pytest.raises(ValidationError, match="extra_forbidden"):
        ChatRequest.model_validate({"messages": HELLO, "cache_salt": "mine"})


def test_remote_media_are_refused_and_data_urls_pass():
    def message(url):
        return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]

    ChatRequest.model_validate({"messages": message("data:image/png;base64,AAAA")})
    for url in ("http://169.254.169.254/", "https://example.com/a.png", "file:///etc/passwd"):
        with pytest.raises(ValidationError, match="not fetched"):
            ChatRequest.model_validate({"messages": message(url)})


def test_stream_options_need_a_stream():
    with pytest.raises(ValidationError, match="stream_options"):
        ChatRequest.model_validate({"messages": HELLO, "stream_options": {"include_usage": True}})


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({}, 100),
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 9, "max_tokens": 7}, 9),
        ({"max_tokens": 7, "n": 3}, 21),
        ({"max_tokens": 5_000}, 1000),
    ],
)
def test_the_output_reserved_is_what_the_request_allows(fields, output):
    request = ChatRequest.model_validate({"messages": HELLO, **fields})
    assert estimate_chat(request, CARD).output_tokens == output


TEXT = st.one_of(st.text(max_size=60), st.text("0123456789 .-", max_size=60))
PART = st.fixed_dictionaries({"type": st.just("text"), "text": TEXT})
CALL = st.builds(
    lambda name, arguments: {
        "id": "c",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    },
    st.text(min_size=1, max_size=10),
    st.dictionaries(TEXT, st.integers() | TEXT, max_size=3),
)
MESSAGE = st.one_of(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["system", "developer", "user", "tool"]),
            "content": TEXT | st.lists(PART, max_size=4),
        }
    ),
    st.fixed_dictionaries(
        {
            "role": st.just("assistant"),
            "content": TEXT | st.none(),
            "tool_calls": st.lists(CALL, max_size=2),
        }
    ),
)
TOOL = st.builds(
    lambda name, description, fields: {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": {field: {"type": "integer"} for field in fields},
            },
        },
    },
    st.text(min_size=1, max_size=10),
    TEXT,
    st.lists(TEXT, max_size=3),
)


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(WEIGHTS)


WIDE = CARD.model_copy(update={"context_window": None})


@settings(deadline=None)
@given(messages=st.lists(MESSAGE, min_size=1, max_size=4), tools=st.lists(TOOL, max_size=2))
def test_no_chat_takes_more_tokens_than_are_reserved_for_it(tokenizer, messages, tools):
    fields = {"messages": messages} | ({"tools": tools} if tools else {})
    reserved = estimate_chat(ChatRequest.model_validate(fields), WIDE).input_tokens
    taken = tokenizer.apply_chat_template(
        messages, tools=tools or None, add_generation_prompt=True, return_dict=False
    )
    assert len(taken) <= reserved


@settings(deadline=None)
@given(TEXT)
def test_no_completion_takes_more_tokens_than_are_reserved_for_it(tokenizer, text):
    request = CompletionRequest.model_validate({"prompt": text or "x"})
    assert len(tokenizer(text)["input_ids"]) <= estimate_completion(request, WIDE).input_tokens


def test_no_more_than_the_window_is_reserved_for_a_prompt():
    text = "9" * 5_000
    chat = ChatRequest.model_validate({"messages": [{"role": "user", "content": text}]})
    assert estimate_chat(chat, CARD).input_tokens == 1000
    plain = CompletionRequest.model_validate({"prompt": [text, "9"]})
    assert estimate_completion(plain, CARD).input_tokens == 1002


def test_pictures_of_a_language_model_are_reserved():
    file = io.BytesIO()
    Image.new("RGB", (1400, 1400)).save(file, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    part = {"type": "image_url", "image_url": {"url": url}}
    request = ChatRequest.model_validate({"messages": [{"role": "user", "content": [part]}]})
    units = SPEC.operations["chat"].estimate(request, WIDE)
    assert 10_000 <= units.input_tokens <= 10_200


def test_token_prompts_are_counted_exactly():
    request = CompletionRequest.model_validate({"prompt": [[1, 2, 3], [4]], "max_tokens": 2})
    units = estimate_completion(request, CARD)
    assert (units.input_tokens, units.output_tokens) == (4, 4)


def test_prompts_times_choices_are_counted():
    request = CompletionRequest.model_validate({"prompt": ["a"] * 3, "n": 4, "max_tokens": 5})
    assert (request.choices, estimate_completion(request, CARD).output_tokens) == (12, 60)
    CompletionRequest.model_validate({"prompt": ["a"] * MAX_CHOICES})
    CompletionRequest.model_validate({"prompt": [7] * (MAX_CHOICES + 1)})
    for fields in ({"prompt": ["a"] * (MAX_CHOICES + 1)}, {"prompt": ["a"] * 1000, "n": 3}):
        with pytest.raises(ValidationError, match="2048"):
            CompletionRequest.model_validate(fields)


@pytest.mark.parametrize(
    ("params", "request_type"),
    [(CompletionCreateParamsBase, ChatRequest), (PlainCompletionParams, CompletionRequest)],
)
def test_every_field_of_the_official_sdk_is_known(params, request_type):
    assert set(get_type_hints(params)) <= set(request_type.model_fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"prediction": {"type": "content", "content": "SELECT"}},
        {"prompt_cache_key": "a", "prompt_cache_retention": "24h"},
        {"prompt_cache_options": {"mode": "implicit", "ttl": "30m"}},
        {"top_p": 0},
        {"audio": None, "web_search_options": None},
        {"functions": [{"name": "f"}], "function_call": "auto"},
    ],
)
def test_fields_that_change_nothing_here_are_taken(fields):
    ChatRequest.model_validate({"messages": HELLO, **fields})


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"audio": {"voice": "alloy", "format": "mp3"}}, "audio\n.*not supported here"),
        ({"web_search_options": {}}, "web_search_options\n.*not supported here"),
        ({"moderation": {"model": "m"}}, "moderation\n.*not supported here"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"functions": []}, "functions"),
        ({"function_call": "auto"}, "only allowed with 'functions'"),
        ({"functions": [{"name": "f"}], "tools": [{}]}, "send 'tools' alone"),
    ],
)
def test_fields_that_would_be_ignored_are_refused_by_name(fields, reason):
    with pytest.raises(ValidationError, match=reason):
        ChatRequest.model_validate({"messages": HELLO, **fields})
