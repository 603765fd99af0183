"""Webhooks: signed so that a receiver can tell, and sent nowhere near our own network."""

import asyncio
import base64
import hmac
import json
import secrets
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from auth.database import Database
from auth.jobs import JobBook
from auth.principal import Principal
from auth.webhook_tries import EACH, PAUSES, WebhookTries, pause_after
from auth.webhooks import PREFIX, WebhookSigner
from core.errors import CarillonError, InvalidRequest, NotDelivered
from graphs.webhook_retries import WebhookRetries
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
    tries = WebhookTries(book._database)
    return Webhooks(WebhookSettings(**settings), book, tries, signer, now=lambda: NOW)


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
    with pytest.raises(NotDelivered, match="not on the public internet"):
        await webhooks(book).piece(hook, 0)
    assert not receiver.requests


@pytest.mark.parametrize("status", [500, 302, 404])
async def test_what_is_not_taken_is_sent_again_later(book, hook_of, receiver, status):
    _, hook = await hook_of()
    receiver.status = status
    with pytest.raises(NotDelivered, match=f"answered {status}"):
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


WAITING = (
    "SELECT id FROM jobs WHERE kind = 'webhook' AND waiting_since IS NOT NULL ORDER BY created_at"
)


class Sending:
    """The jobs application, with a clock of its own: what is handed over is sent at once."""

    def __init__(self, database):
        self.database = database
        self.now = NOW
        self.book = JobBook(database)
        self.tries = WebhookTries(database)
        settings = WebhookSettings(allow_private_urls=True)
        signer = WebhookSigner(PEPPER)
        self.kind = Webhooks(settings, self.book, self.tries, signer, now=lambda: self.now)
        self.retries = WebhookRetries(self.tries, now=lambda: self.now)
        self.sent = []

    async def send(self, job):
        self.sent.append(job.id)
        job = await self.book.begin(job.id)
        try:
            outcome = await self.kind.piece(job, 0)
            await self.book.complete(job.id, outcome)
        except CarillonError as error:
            await self.book.fail(job.id, error.code, error.message)
        for _ in range(2):  # the durable engine says it more than once at times
            await self.kind.ended(await self.book.read(job.id))

    async def pass_by(self, pause):
        self.now += pause
        await self.retries.sweep()
        for row in await self.database.fetch(WAITING):
            await self.send(await self.book.read(row["id"]))


@pytest.fixture
async def sending(database):
    await database.execute("UPDATE jobs SET try_at = NULL WHERE try_at IS NOT NULL")
    await database.execute("UPDATE jobs SET waiting_since = NULL")
    return Sending(database)


async def told(sending, run, hook):
    return webhook_object(run, await sending.book.read(hook.id))


async def test_a_receiver_that_is_away_for_hours_is_told_in_the_end(sending, hook_of, receiver):
    run, hook = await hook_of()
    receiver.status = 503
    await sending.send(hook)
    waits = await told(sending, run, hook)
    assert (waits["status"], waits["tries"]) == ("pending", 1)
    assert waits["error"]["message"] == "the webhook's receiver answered 503"
    assert waits["next_try_at"] == int(NOW.timestamp()) + 5
    await sending.pass_by(timedelta(seconds=4))
    assert len(receiver.requests) == 1
    for pause in PAUSES[:5]:
        await sending.pass_by(pause * 1.1)
    assert len(receiver.requests) == 6
    receiver.status = 204
    await sending.pass_by(PAUSES[5] * 1.1)
    end = await told(sending, run, hook)
    assert (end["status"], end["tries"]) == ("delivered", 7)
    assert (end["next_try_at"], end["error"]) == (None, None)
    assert {headers["webhook-id"] for _, headers, _ in receiver.requests} == {hook.id}
    await sending.pass_by(timedelta(days=2))
    assert len(receiver.requests) == 7


async def test_after_a_day_nobody_is_told_until_that_is_asked_for(sending, hook_of, receiver):
    run, hook = await hook_of()
    receiver.status = 500
    await sending.send(hook)
    assert timedelta(hours=23) < sum(PAUSES, timedelta()) < timedelta(hours=25)
    for pause in PAUSES:
        assert (await told(sending, run, hook))["status"] == "pending"
        await sending.pass_by(pause * 1.1)
    end = await told(sending, run, hook)
    assert (end["status"], end["tries"], end["next_try_at"]) == ("failed", 10, None)
    await sending.pass_by(timedelta(days=2))
    assert len(receiver.requests) == 10
    await sending.send(await sending.tries.again(run.tenant_id, hook.id))
    assert (await told(sending, run, hook))["status"] == "pending"  # for another day
    receiver.status = 200
    await sending.pass_by(PAUSES[0] * 1.1)
    end = await told(sending, run, hook)
    assert (end["status"], end["tries"]) == ("delivered", 12)


async def test_what_another_try_cannot_help_is_not_tried_again(sending, hook_of, receiver):
    run, hook = await hook_of()
    receiver.status = 410
    await sending.send(hook)
    end = await told(sending, run, hook)
    assert (end["status"], end["next_try_at"]) == ("failed", None)
    await sending.pass_by(timedelta(days=2))
    assert len(receiver.requests) == 1


async def test_no_tenant_keeps_the_tries_of_others_waiting(
    sending, database, hook_of, receiver, monkeypatch
):
    monkeypatch.setattr("auth.webhook_tries.MOST_WAITING", EACH + 2)
    receiver.status = 500
    hooks = [await hook_of() for _ in range(EACH + 3)]
    for _, hook in hooks:
        await sending.send(hook)
    ends = [(await told(sending, run, hook))["status"] for run, hook in hooks]
    assert ends == ["pending"] * (EACH + 2) + ["failed"]
    sent = len(sending.sent)
    await sending.pass_by(PAUSES[0] * 1.1)
    assert len(sending.sent) == sent + EACH


async def test_a_try_that_is_due_waits_in_its_row_whoever_dies(
    sending, database, hook_of, receiver
):
    _, hook = await hook_of()
    receiver.status = 500
    await sending.send(hook)
    (due,) = await sending.tries.due(NOW + timedelta(minutes=1))
    assert due.execution == f"{hook.id}.1"
    assert (await sending.book.read(hook.id)).execution == due.execution
    row = await database.row(
        "SELECT status, waiting_since IS NOT NULL FROM jobs WHERE id = $1", hook.id
    )
    assert tuple(row) == ("queued", True)
    assert not await sending.tries.due(NOW + timedelta(minutes=1))
    assert pause_after(due) == PAUSES[1]
