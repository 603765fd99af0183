"""Fuzz: whatever the OpenAPI document allows, and what it does not, is never answered by a 5xx."""

import time

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from tests.e2e.people import newcomer

EXAMPLES = 12
"""Per operation. Enough to meet every field; the seconds go to the models."""
FREE_OF_STREAMS = {"max_tokens": 2, "max_completion_tokens": 2, "steps": 2}


def gently(case):
    """Work is not what is fuzzed: generations stay short, and the caller is somebody."""
    case.headers.pop("x-api-key", None)
    if isinstance(case.body, dict):
        limits = {name: n for name, n in FREE_OF_STREAMS.items() if name in case.body}
        case.body = case.body | limits
    return case


def awake(case, headers):
    """The answer of a model that is awake: who is told to come back does."""
    for _ in range(6):
        response = case.call(headers=headers, timeout=120)
        if response.status_code != 503 or b"model_loading" not in response.content:
            return response
        time.sleep(float(response.headers["retry-after"][0]))
    raise AssertionError("the model does not wake")


@pytest.mark.timeout(900)
def test_no_input_is_a_server_error(cluster):
    person = newcomer(cluster, "enterprise")
    document = httpx.get(f"{cluster.base_url}/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=cluster.base_url)
    met = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        met += 1

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def never_a_5xx(case):
            response = awake(gently(case), person.headers)
            assert response.status_code < 500, (case.as_curl_command(), response.content[:2000])
            assert b"Traceback" not in response.content
            assert response.headers.get("x-request-id")

        never_a_5xx()
    assert met == sum(len(methods) for methods in document["paths"].values()) > 15
