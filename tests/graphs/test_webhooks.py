"""Webhooks: signed so that a receiver can tell, and sent nowhere near our own network."""

import asyncio
import base64
import hmac
import json
import secrets
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from auth.database import Database
from auth.jobs import JobBook
from auth.principal import Principal
from auth.webhooks import PREFIX, WebhookSigner
from core.errors import InvalidRequest, Unavailable
from graphs.webhooks import Webhooks, WebhookSettings
from ingress.workflow_answers import webhook_object
from ingress.workflow_runs import followed_by_webhook

PEPPER = SecretStr("pepper-of-the-tests-0123456789")
NOW = datetime(2026, 11, 22, tzinfo=UTC)


class Receiver:
    """A web server that keeps what it is sent."""

    def __init__(self):
        self.status = 204
        self.port = 0
        self.requests = []

    async def serve(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        body = await reader.readexactly(int(headers["content-length"]))
        self.requests.append((head.split("\r\n")[0], headers, body))
        writer.write(f"HTTP/1.1 {self.status} X\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@pytest.fixture
async def receiver():
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    yield receiver
    server.close()


@pytest.fixture
async def database(database_url):
    database = Database(SecretStr(database_url))
    yield database
    await database.aclose()


@pytest.fixture
def book(database):
    return JobBook(database)


@pytest.fixture
async def hook_of(database, book, receiver):
    """A run that has ended, and the job that tells of it."""
    tenant = f"hook-{secrets.token_hex(4)}"
    await database.execute("INSERT INTO tenants (id, name, plan) VALUES ($1, 'x', 'free')", tenant)

    async def made(url=None):
        url = url or f"http://127.0.0.1:{receiver.port}/told?a=1"
        workflow = {"steps": [{"id": "a"}], "webhook": {"url": url}}
        principal = Principal(tenant, "k", "free", "0", frozenset())
        run = await book.add(principal, "workflow", "run_", {"workflow": workflow})
        await book.complete(run.id, {"outputs": {"text": "hi"}})
        run = await book.read(run.id)
        return run, await followed_by_webhook(book, run)

    return made


def webhooks(book, **settings):
    signer = WebhookSigner(PEPPER)
    return Webhooks(WebhookSettings(**settings), book, signer, now=lambda: NOW)


async def test_a_receiver_can_verify_what_it_is_told(book, hook_of, receiver):
    run, hook = await hook_of()
    assert (await followed_by_webhook(book, run)).id == hook.id
    outcome = await webhooks(book, allow_private_urls=True).piece(hook, 0)
    assert outcome == {"status_code": 204}
    (line, headers, body) = receiver.requests[0]
    assert line == "POST /told?a=1 HTTP/1.1"
    told = json.loads(body)
    assert told["type"] == "workflow.run.completed"
    assert told["data"]["id"] == run.id
    assert told["data"]["outputs"] == {"text": "hi"}
    # As the receiver's own library does it, from the secret that the tenant was shown.
    secret = WebhookSigner(PEPPER).secret(run.tenant_id).get_secret_value()
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))


def test_each_tenant_has_a_secret_of_its_own():
    signer = WebhookSigner(PEPPER)
    secrets_ = {signer.secret(tenant).get_secret_value() for tenant in ("a", "b")}
    assert len(secrets_) == 2
    assert "pepper" not in str(secrets_)


async def test_a_run_says_whether_its_end_was_told(book, hook_of):
    run, hook = await hook_of()
    assert webhook_object(run, None)["status"] == "pending"
    assert webhook_object(run, hook)["status"] == "pending"
    await book.fail(hook.id, "unavailable", "the webhook's receiver answered 500")
    told = webhook_object(run, await book.read(hook.id))
    assert (told["status"], told["error"]["code"]) == ("failed", "unavailable")


async def test_our_own_network_is_not_reached(book, hook_of, receiver):
    _, hook = await hook_of()
    with pytest.raises(Unavailable, match="not on the public internet"):
        await webhooks(book).piece(hook, 0)
    assert not receiver.requests


@pytest.mark.parametrize("status", [500, 302, 404])
async def test_what_is_not_taken_is_sent_again_later(book, hook_of, receiver, status):
    _, hook = await hook_of()
    receiver.status = status
    with pytest.raises(Unavailable, match=f"answered {status}"):
        await webhooks(book, allow_private_urls=True).piece(hook, 0)


async def test_a_receiver_that_wants_no_more_gets_no_more(book, hook_of, receiver):
    _, hook = await hook_of()
    receiver.status = 410
    with pytest.raises(InvalidRequest, match="410"):
        await webhooks(book, allow_private_urls=True).piece(hook, 0)


async def test_an_end_is_told_as_it_was_though_the_run_was_resumed_since(book, hook_of, receiver):
    completed, _ = await hook_of()
    principal = Principal(completed.tenant_id, "k", "free", "0", frozenset())
    run = await book.add(principal, "workflow", "run_", completed.request)
    await book.fail(run.id, "model_unavailable", "step 'a': gone")
    hook = await followed_by_webhook(book, await book.read(run.id))
    await book.reopen(principal, "workflow", run.id, NOW)
    await webhooks(book, allow_private_urls=True).piece(hook, 0)
    ((_, headers, body),) = receiver.requests
    told = json.loads(body)
    assert (told["type"], headers["webhook-id"]) == ("workflow.run.failed", hook.id)
    assert (told["data"]["status"], told["data"]["resumed"]) == ("failed", 0)
    assert told["data"]["error"]["message"] == "step 'a': gone"
    assert told["data"]["ended_at"] is not None


async def test_nothing_is_told_of_a_run_that_was_deleted(book, hook_of, receiver):
    run, hook = await hook_of()
    await book.delete(run.tenant_id, "workflow", run.id)
    outcome = await webhooks(book, allow_private_urls=True).piece(hook, 0)
    assert outcome == {"status_code": None}
    assert not receiver.requests
