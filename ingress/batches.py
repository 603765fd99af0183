"""`/v1/batches`: many requests in one file, answered within a day, as OpenAI's Batch API has them.

Place in the path: before it. A batch is a job (`auth.jobs`): it is written down and handed over
here, and its lines take the request path later, one by one (`graphs.batches`).
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from auth.files import FileBook
from auth.jobs import Job, JobBook, JobStatus
from auth.principal import Scope
from core.errors import InvalidRequest, NotFound
from ingress.batch_endpoints import OPERATIONS
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.files import listing
from ingress.media.origin import origin_of
from ingress.paging import Page, page_of
from ingress.path import RequestPath
from ingress.responses import json_response

KIND = "batch"
WINDOW = timedelta(hours=24)
MAX_METADATA = 16
STATUSES = {
    JobStatus.QUEUED: "validating",
    JobStatus.IN_PROGRESS: "in_progress",
    JobStatus.COMPLETED: "completed",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "cancelled",
}
NOTHING = {"total": 0, "completed": 0, "failed": 0}


class BatchRequest(BaseModel):
    """POST /v1/batches."""

    model_config = ConfigDict(extra="forbid")

    input_file_id: str
    endpoint: str
    completion_window: Literal["24h"]
    metadata: dict[str, str] | None = Field(None, max_length=MAX_METADATA)


class BatchEndpoints:
    """Handlers."""

    def __init__(self, path: RequestPath, files: FileBook, book: JobBook) -> None:
        self._path = path
        self._files = files
        self._book = book

    def endpoints(self) -> list[Endpoint]:
        cancel = "/v1/batches/{batch_id}/cancel"
        return [
            Endpoint("POST", "/v1/batches", self.create, "Begin a batch", BatchRequest),
            Endpoint("GET", "/v1/batches", self.list, "This tenant's batches", query=Page),
            Endpoint("GET", "/v1/batches/{batch_id}", self.show, "One batch"),
            Endpoint("POST", cancel, self.cancel, "Stop a batch"),
        ]

    async def create(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        request = await exchange.parse(BatchRequest)
        if request.endpoint not in OPERATIONS:
            raise InvalidRequest(f"'endpoint' must be one of {', '.join(OPERATIONS)}", "endpoint")
        try:
            file = await self._files.find(principal.tenant_id, request.input_file_id)
        except NotFound as error:
            raise InvalidRequest("no such file", "input_file_id") from error
        if file.purpose != KIND:
            raise InvalidRequest("the file's purpose is not 'batch'", "input_file_id")
        job = await self._book.add(
            principal,
            KIND,
            "batch_",
            request.model_dump() | {"origin": origin_of(exchange)},
            expires_at=datetime.now(UTC) + WINDOW,
            once=exchange.next_once(),
        )
        return json_response(batch_object(job))

    async def list(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        asked = page_of(exchange)
        page = await self._book.page(
            principal.tenant_id, KIND, asked.after, asked.limit, oldest_first=asked.oldest_first
        )
        data = [batch_object(job) for job in page.items]
        return json_response(listing(data, has_more=page.has_more))

    async def show(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        name = exchange.http.path_params["batch_id"]
        return json_response(batch_object(await self._book.find(principal.tenant_id, KIND, name)))

    async def cancel(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        name = exchange.http.path_params["batch_id"]
        job = await self._book.cancel(principal.tenant_id, KIND, name)
        return json_response(batch_object(job))


def batch_object(job: Job) -> dict[str, Any]:
    """OpenAI's batch object."""
    ended = _unix(job.ended_at)
    return {
        "id": job.id,
        "object": "batch",
        "endpoint": job.request["endpoint"],
        "errors": _errors(job),
        "input_file_id": job.request["input_file_id"],
        "completion_window": job.request["completion_window"],
        "status": STATUSES[job.status],
        "output_file_id": job.result.get("output_file_id"),
        "error_file_id": job.result.get("error_file_id"),
        "created_at": _unix(job.created_at),
        "in_progress_at": _unix(job.started_at),
        "expires_at": _unix(job.expires_at),
        "completed_at": ended if job.status is JobStatus.COMPLETED else None,
        "failed_at": ended if job.status is JobStatus.FAILED else None,
        "cancelled_at": ended if job.status is JobStatus.CANCELLED else None,
        "request_counts": job.result.get("counts") or NOTHING,
        "metadata": job.request.get("metadata"),
    }


def _errors(job: Job) -> dict[str, Any] | None:
    if job.error_code is None:
        return None
    fault = {"code": job.error_code, "message": job.error_message, "param": None, "line": None}
    return {"object": "list", "data": [fault]}


def _unix(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
