"""Rows of jobs: what one is, and how it is read back.

Place in the path: under `auth.jobs`, which writes them. It decides nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import asyncpg
import orjson

from core.errors import NotFound


class JobStatus(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self not in (JobStatus.QUEUED, JobStatus.IN_PROGRESS)


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it was read."""

    id: str
    tenant_id: str
    api_key_id: str
    kind: str
    model: str | None
    request: dict[str, Any]
    status: JobStatus
    progress: float
    """0 to 1."""
    result: dict[str, Any]
    error_code: str | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    expires_at: datetime | None
    user_id: str | None = None
    """Who asked for it: behind one key there may be several people."""
    try_at: datetime | None = None
    """Of a webhook that failed: when it is tried again."""

    @property
    def caller(self) -> str:
        """On whose rights its calls are made, and on whom they are metered, as the jobs application
        identifies it: the key's id and, after a space, the user.
        """
        return self.api_key_id if self.user_id is None else f"{self.api_key_id} {self.user_id}"

    @property
    def execution(self) -> str:
        """What the durable engine calls it: each resumption is another execution."""
        return execution_of(self.id, self.result.get("resumed", 0))


def execution_of(job_id: str, resumed: int) -> str:
    """See `Job.execution`."""
    return f"{job_id}.{resumed}" if resumed else job_id


def resumption_of(execution: str | None) -> int | None:
    """The resumption that an execution is of, 0 for a job's first one; None for none."""
    return None if execution is None else int(execution.partition(".")[2] or 0)


def job_of(row: asyncpg.Record | None) -> Job:
    """A row as a job. Raises NotFound for none."""
    if row is None:
        raise NotFound("no such job")
    return Job(
        id=row["id"],
        tenant_id=row["tenant_id"],
        api_key_id=row["api_key_id"],
        kind=row["kind"],
        model=row["model"],
        request=orjson.loads(row["request"]),
        status=JobStatus(row["status"]),
        progress=row["progress"],
        result=orjson.loads(row["result"]),
        error_code=row["error_code"],
        error_message=row["error_message"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        expires_at=row["expires_at"],
        user_id=row["user_id"],
        try_at=row["try_at"],
    )
