"""The cache key: any field that can change an answer changes it."""

from hypothesis import given
from hypothesis import strategies as st

from core.chat import ChatRequest
from core.model import ModelCard
from ingress.cache_key import cache_key

CARD = ModelCard(id="m", spec="deployments.echo:SPEC")
BASE = {"messages": [{"role": "user", "content": "hello"}]}

CHANGES = st.sampled_from(
    [
        {"messages": [{"role": "user", "content": "hello "}]},
        {"messages": [{"role": "system", "content": "hello"}]},
        {"messages": [{"role": "user", "content": "hello", "name": "ann"}]},
        {"temperature": 0.0},
        {"temperature": 1.0},
        {"top_p": 0.5},
        {"seed": 1},
        {"n": 2},
        {"stop": "x"},
        {"stop": ["x"]},
        {"max_tokens": 5},
        {"max_completion_tokens": 5},
        {"stream": True},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"tool_choice": "none"},
        {"response_format": {"type": "json_object"}},
        {"logprobs": True},
        {"user": "ann"},
        {"top_k": 4},
        {"logit_bias": {"1": 1.0}},
    ]
)


def key(fields, card=CARD, operation="chat"):
    return cache_key(card, operation, ChatRequest.model_validate(BASE | fields))


@given(CHANGES, CHANGES)
def test_different_requests_have_different_keys_and_equal_ones_the_same(one, other):
    assert (key(one) == key(other)) == (one == other)
    assert key(one) != key({})


def test_model_revision_and_operation_are_part_of_the_key():
    revised = CARD.model_copy(update={"revision": "2"})
    other = CARD.model_copy(update={"id": "n"})
    assert len({key({}), key({}, revised), key({}, other), key({}, operation="completion")}) == 4


def test_an_alias_and_its_model_share_entries():
    assert key({"model": "alias"}) == key({"model": "m"}) == key({})
