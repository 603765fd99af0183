"""Fuzz: whatever the OpenAPI document allows, and what it does not, is never answered by a 5xx."""

import secrets
import time

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auth.principal import Scope
from tests.e2e.people import newcomer

EXAMPLES = 12
"""Per operation. Enough to meet every field; the seconds go to the models."""
OPERATORS_EXAMPLES = 20
"""Of these operations, which call no models."""
FREE_OF_STREAMS = {"max_tokens": 2, "max_completion_tokens": 2, "steps": 2}
FORBIDDEN = 403
OPERATORS = {
    *(f"/v1/admin/{name}" for name in ("stats", "reconciliation", "tenants", "cache/clear")),
    *(f"/v1/admin/tenants/{{tenant_id}}{rest}" for rest in ("", "/invitations")),
    *("/v1/admin/users/{user_id}", "/v1/tenants/me/members/{user_id}"),
    *("/v1/tenants/me/invitations/{invitation_id}", "/v1/cluster/metrics"),
}
"""Some of the paths that an operator's key must open."""


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


def fuzzed(operation, headers, examples, prepared=lambda case, _: case):
    """The statuses of an operation's answers, none of which is a server's fault.

    Args:
        prepared: of a case and of whether it is to be about what exists: what is sent.
    """
    statuses = set()

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), exists=st.booleans())
    def never_a_5xx(case, exists):
        response = awake(prepared(gently(case), exists), headers)
        assert response.status_code < 500, (case.as_curl_command(), response.content[:2000])
        assert b"Traceback" not in response.content
        assert response.headers.get("x-request-id")
        statuses.add(response.status_code)

    never_a_5xx()
    return statuses


def somebody():
    """An address that nobody has."""
    return f"{secrets.token_hex(8)}@example.com"


class Stage:
    """An operator who works on what was made for it alone.

    Its key, and whatever exists that its cases name, belong to a tenant of its own, and to others
    that it may switch off. Nothing is left out: no operation stops a cluster, and the cache, which
    others have, too, is emptied of its own tenant's answers.
    """

    def __init__(self, cluster):
        self._person = newcomer(cluster, "enterprise")
        self._cluster = {"authorization": f"Bearer {cluster.api_key}"}
        self._base_url = cluster.base_url
        self.headers = {"authorization": f"Bearer {self._key(list(Scope))['key']}"}

    def prepared(self, operation):
        """How cases of an operation are sent."""
        names = self._names(operation)

        def prepare(case, exists):
            if operation.path.endswith("/admin/cache/clear"):
                body = case.body if isinstance(case.body, dict) else {}
                case.body = body | {"tenant_id": self._person.tenant_id}
            if exists:
                case.path_parameters = {**(case.path_parameters or {}), **names}
                if isinstance(case.body, dict) and "email" in case.body:
                    case.body = case.body | {"email": somebody()}
            return case

        return prepare

    def _names(self, operation):
        """Ids of what exists, for the path."""
        make = {
            "tenant_id": self._tenant,
            "user_id": self._user,
            "key_id": lambda: self._key(["inference"])["id"],
            "invitation_id": lambda: self._invitation()["id"],
        }
        return {name: made() for name, made in make.items() if f"{{{name}}}" in operation.path}

    def _key(self, scopes):
        body = {"name": "scratch", "scopes": scopes, "tenant_id": self._person.tenant_id}
        return self._made("/v1/api-keys", body)

    def _tenant(self):
        return self._made("/v1/admin/tenants", {"name": "scratch"})["id"]

    def _invitation(self):
        email = somebody()
        path = f"/v1/admin/tenants/{self._person.tenant_id}/invitations"
        return self._made(path, {"email": email, "role": "member"}) | {"email": email}

    def _user(self):
        invited = self._invitation()
        account = {"email": invited["email"], "password": secrets.token_hex(16), "name": "scratch"}
        user = self._made("/v1/auth/register", account | {"invitation": invited["token"]})
        return user["user_id"]

    def _made(self, path, body):
        answer = httpx.post(self._base_url + path, json=body, headers=self._cluster, timeout=60)
        assert answer.status_code == 201, answer.text
        return answer.json()


@pytest.mark.timeout(900)
def test_no_input_is_a_server_error(cluster):
    """Whatever a tenant's key may not do is sent with an operator's as well."""
    person, stage = newcomer(cluster, "enterprise"), Stage(cluster)
    document = httpx.get(f"{cluster.base_url}/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=cluster.base_url)
    met, opened = 0, set()
    for result in schema.get_all_operations():
        operation = result.ok()
        met += 1
        if FORBIDDEN in fuzzed(operation, person.headers, EXAMPLES):
            prepared = stage.prepared(operation)
            statuses = fuzzed(operation, stage.headers, OPERATORS_EXAMPLES, prepared)
            if FORBIDDEN not in statuses:
                opened.add(operation.path)
    assert met == sum(len(methods) for methods in document["paths"].values()) > 15
    assert opened >= OPERATORS
