"""`/v1/workflows`: graphs of calls that users write themselves, run durably.

    POST   /v1/workflows                       check, draw and estimate one; nothing is run
    POST   /v1/workflows/runs                  begin a run
    GET    /v1/workflows/runs                  this tenant's runs
    GET    /v1/workflows/runs/{run_id}         one run, with its steps
    POST   /v1/workflows/runs/{run_id}/cancel  stop it
    POST   /v1/workflows/runs/{run_id}/resume  go on with one that failed or was cancelled
    POST   /v1/workflows/runs/{run_id}/rerun   the same again, with some inputs changed
    POST   /v1/workflows/runs/{run_id}/redeliver  send its webhook again
    GET    /v1/workflows/runs/{run_id}/events  what happens to it (SSE)
    DELETE /v1/workflows/runs/{run_id}         forget one that has ended
    GET    /v1/workflows/webhook-secret        what webhooks are verified with

Place in the path: before it. A run is a job (`ingress.workflow_runs`); its steps take the request
path later. Older paths are `ingress.workflow_aliases`.
"""

import asyncio
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from auth.job_news import JobNews
from auth.jobs import Job, JobBook
from auth.prices import PriceBook
from auth.principal import Principal, Scope
from auth.usage import Usage
from auth.webhooks import WebhookSigner
from auth.workflow_steps import StepBook
from core.errors import InvalidRequest
from core.plain import checked, from_yaml
from core.workflow import Workflow
from core.workflow_drawing import mermaid
from ingress.call import CachePolicy
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.files import listing
from ingress.media.origin import origin_of
from ingress.media.store import MediaStore
from ingress.paging import Page, page_of
from ingress.path import RequestPath, Stream
from ingress.rendering import openai_body
from ingress.responses import StreamResponse, json_response
from ingress.workflow_answers import (
    KIND,
    run_object,
    run_summary,
    usage_object,
    webhook_object,
)
from ingress.workflow_estimate import estimate_object
from ingress.workflow_events import events
from ingress.workflow_media import add_urls
from ingress.workflow_runs import WorkflowRuns

MAX_BODY_BYTES = 2 * 2**20
YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
LARGEST_CHANGE = 2**62


class RerunRequest(BaseModel):
    """POST /v1/workflows/runs/{run_id}/rerun."""

    model_config = ConfigDict(extra="forbid")

    inputs: dict[str, Any] = {}
    """Those that change."""


class WorkflowEndpoints:
    """Handlers over the runs."""

    def __init__(
        self,
        path: RequestPath,
        runs: WorkflowRuns,
        book: JobBook,
        steps: StepBook,
        news: JobNews,
        media: MediaStore,
        usage: Usage,
        prices: PriceBook,
        signer: WebhookSigner,
    ) -> None:
        self._path = path
        self._runs = runs
        self._book = book
        self._steps = steps
        self._news = news
        self._media = media
        self._usage = usage
        self._prices = prices
        self._signer = signer

    def endpoints(self) -> list[Endpoint]:
        runs = "/v1/workflows/runs"
        one = f"{runs}/{{run_id}}"
        return [
            self._document("/v1/workflows", self.check, "Check, draw and estimate a workflow"),
            self._document(runs, self.create, "Begin a run of a workflow"),
            Endpoint("GET", runs, self.list, "This tenant's runs", query=Page),
            Endpoint(
                "GET",
                "/v1/workflows/webhook-secret",
                self.secret,
                "What webhooks are verified with",
                shown_once=True,
            ),
            Endpoint("GET", one, self.show, "One run, with its steps"),
            Endpoint("DELETE", one, self.delete, "Forget a run that has ended"),
            Endpoint("GET", f"{one}/events", self.events, "What happens to it (SSE)"),
            Endpoint("POST", f"{one}/cancel", self.cancel, "Stop it"),
            Endpoint("POST", f"{one}/resume", self.resume, "Go on with it"),
            Endpoint("POST", f"{one}/rerun", self.rerun, "The same again", RerunRequest),
            Endpoint("POST", f"{one}/redeliver", self.redeliver, "Send its webhook again"),
        ]

    def _document(self, path: str, handler: Any, summary: str) -> Endpoint:
        return Endpoint("POST", path, handler, summary, Workflow, max_body_bytes=MAX_BODY_BYTES)

    async def check(self, exchange: Exchange) -> Response:
        principal = await self._principal(exchange)
        plan = await self._runs.plan(principal, await document_of(exchange))
        return json_response(
            {
                "object": "workflow.plan",
                "name": plan.workflow.name,
                "order": [step.id for step in plan.steps],
                "estimate": estimate_object(plan, self._prices),
                "mermaid": mermaid(step.links for step in plan.steps),
            }
        )

    async def create(self, exchange: Exchange) -> Response:
        principal = await self._principal(exchange)
        document, once = await document_of(exchange), exchange.next_once()
        job = await self._runs.begin(principal, document, _cache(exchange), once)
        return json_response(run_object(job, []))

    async def list(self, exchange: Exchange) -> Response:
        principal = await self._principal(exchange)
        asked = page_of(exchange)
        page = await self._book.page(
            principal.tenant_id,
            KIND,
            asked.after,
            asked.limit,
            oldest_first=asked.oldest_first,
            brief=True,
        )
        runs = [run_summary(job) for job in page.items]
        return json_response(listing(runs, has_more=page.has_more))

    async def show(self, exchange: Exchange) -> Response:
        principal = await self._principal(exchange)
        return await self._told(exchange, await self._own(exchange, principal))

    async def delete(self, exchange: Exchange) -> Response:
        principal = await self._principal(exchange)
        name = exchange.http.path_params["run_id"]
        await self._runs.delete(principal, name)
        return json_response({"id": name, "object": "workflow.run.deleted", "deleted": True})

    async def events(self, exchange: Exchange) -> Response:
        principal = await self._principal(exchange)
        job = await self._own(exchange, principal)
        last = _last_event(exchange)
        stream = events(job, self._book, self._steps, self._news, last)
        return StreamResponse(Stream(stream), openai_body)

    async def cancel(self, exchange: Exchange) -> Response:
        principal = await self._principal(exchange)
        job = await self._runs.cancel(principal, exchange.http.path_params["run_id"])
        return await self._told(exchange, job)

    async def resume(self, exchange: Exchange) -> Response:
        principal = await self._principal(exchange)
        job = await self._runs.resume(principal, exchange.http.path_params["run_id"])
        return await self._told(exchange, job)

    async def rerun(self, exchange: Exchange) -> Response:
        principal = await self._principal(exchange)
        request = await exchange.parse(RerunRequest)
        name = exchange.http.path_params["run_id"]
        job = await self._runs.again(
            principal, name, checked(request.inputs), _cache(exchange), exchange.next_once()
        )
        return json_response(run_object(job, []))

    async def redeliver(self, exchange: Exchange) -> Response:
        principal = await self._principal(exchange)
        job = await self._runs.redeliver(principal, exchange.http.path_params["run_id"])
        return await self._told(exchange, job)

    async def secret(self, exchange: Exchange) -> Response:
        """It is whoever may make keys that may read it."""
        principal = await self._path.authorize(exchange.key, Scope.KEYS)
        exchange.headers["cache-control"] = "no-store"
        secret = self._signer.secret(principal.tenant_id).get_secret_value()
        return json_response({"object": "workflow.webhook_secret", "secret": secret})

    async def _told(self, exchange: Exchange, job: Job) -> Response:
        told = run_object(job, await self._steps.of_run(job.tenant_id, job.id))
        usage = await self._usage.traced(job.tenant_id, job.id)
        told["usage"] = usage_object(usage, self._prices.currency)
        if "webhook" in job.request["workflow"]:
            told["webhook"] = webhook_object(job, await self._runs.webhook(job))
        await add_urls(told, self._media, job.tenant_id, origin_of(exchange))
        return json_response(told)

    async def _principal(self, exchange: Exchange) -> Principal:
        return await self._path.authorize(exchange.key, Scope.INFERENCE)

    async def _own(self, exchange: Exchange, principal: Principal) -> Job:
        return await self._runs.find(principal, exchange.http.path_params["run_id"])


async def document_of(exchange: Exchange) -> dict[str, Any]:
    """The body as an object, from JSON or YAML. Raises MalformedBody, UnsupportedMediaType."""
    kind = exchange.http.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in YAML_TYPES:
        return await asyncio.to_thread(from_yaml, await exchange.body())
    return await exchange.document()


def _cache(exchange: Exchange) -> CachePolicy:
    return CachePolicy.from_header(exchange.http.headers.get("cache-control"))


def _last_event(exchange: Exchange) -> int:
    """The number of the last event that the caller has seen; 0 for none."""
    text = exchange.http.headers.get("last-event-id", "0")
    if not (text.isascii() and text.isdecimal()) or int(text[:20]) > LARGEST_CHANGE:
        raise InvalidRequest("'Last-Event-ID' is the number of an event of this run")
    return int(text[:20])
