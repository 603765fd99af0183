"""Chat requests: what is refused, and what is reserved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.chat import ChatRequest, CompletionRequest, estimate_chat, estimate_completion
from core.model import ModelCard

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


@given(st.text())
def test_the_estimate_grows_with_the_bytes_of_the_prompt_up_to_the_window(text):
    request = ChatRequest.model_validate({"messages": [{"role": "user", "content": text}]})
    tokens = estimate_chat(request, CARD).input_tokens
    assert min(1000, len(text.encode()) // 2) <= tokens <= 1000


def test_token_prompts_are_counted_exactly():
    request = CompletionRequest.model_validate({"prompt": [[1, 2, 3], [4]], "max_tokens": 2})
    units = estimate_completion(request, CARD)
    assert (units.input_tokens, units.output_tokens) == (4, 4)
