"""Runs of workflows on the wire: the run and its steps.

Place in the path: end of an exchange about a run. It reads rows and changes nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from auth.jobs import Job, JobStatus
from auth.usage import TracedUsage
from auth.workflow_steps import ONE, StepRow
from ingress.accounts import timestamp

KIND = "workflow"


def run_object(job: Job, rows: Iterable[StepRow] | None = None) -> dict[str, Any]:
    """A run; with its steps, in the order of the workflow, when rows are given."""
    workflow = job.request["workflow"]
    told = run_summary(job) | {
        "inputs": workflow.get("inputs", {}),
        "outputs": job.result.get("outputs"),
        "repeats": job.request.get("repeats"),
    }
    return told if rows is None else told | {"steps": _steps(workflow["steps"], rows)}


def run_summary(job: Job) -> dict[str, Any]:
    """A run as lists have it: without what it was given and what it made."""
    workflow = job.request["workflow"]
    return {
        "id": job.id,
        "object": "workflow.run",
        "name": workflow.get("name"),
        "status": job.status.value,
        "progress": int(job.progress * 100),
        "created_at": timestamp(job.created_at),
        "started_at": timestamp(job.started_at),
        "ended_at": timestamp(job.ended_at),
        "expires_at": timestamp(job.expires_at),
        "error": _error(job.error_code, job.error_message),
        "resumed": job.result.get("resumed", 0),
        "metadata": workflow.get("metadata"),
    }


def usage_object(usage: TracedUsage, currency: str) -> dict[str, Any]:
    """What a run's calls took so far. Money is a decimal number as text, exactly."""
    return {
        "requests": usage.requests,
        "cached": usage.cached,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "money": format(usage.money, "f"),
        "currency": currency,
    }


def webhook_object(run: Job, hook: Job | None) -> dict[str, Any]:
    """Whether a run's end was told, and when it is tried again."""
    url = run.request["workflow"]["webhook"]["url"]
    told = {"url": url, "status": "pending", "tries": 0, "next_try_at": None, "error": None}
    if hook is None:
        return told
    return told | {
        "status": _delivery(hook),
        # The first one is no resumption; one that is queued has not been made.
        "tries": hook.result.get("resumed", 0) + (hook.status is not JobStatus.QUEUED),
        "next_try_at": timestamp(hook.try_at),
        "error": _error(hook.error_code, hook.error_message),
    }


def _delivery(hook: Job) -> str:
    if hook.status is JobStatus.COMPLETED:
        return "delivered"
    return "failed" if hook.status.is_final and hook.try_at is None else "pending"


def step_object(row: StepRow) -> dict[str, Any]:
    """One step, or one item of it."""
    return {
        "id": row.step,
        "item": None if row.item == ONE else row.item,
        "status": row.status.value,
        "tries": row.tries,
        "request_id": row.request_id,
        "cache": row.cache,
        "output": row.output,
        "output_media": row.blob,
        "error": _error(row.error_code, row.error_message),
        "started_at": timestamp(row.started_at),
        "ended_at": timestamp(row.ended_at),
    }


def _steps(steps: Iterable[Mapping[str, Any]], rows: Iterable[StepRow]) -> list[dict[str, Any]]:
    """Each step as it stands; those over a list with their items."""
    own: dict[str, StepRow] = {}
    items: dict[str, list[StepRow]] = {}
    for row in rows:
        if row.item == ONE:
            own[row.step] = row
        else:
            items.setdefault(row.step, []).append(row)
    told = []
    for step in steps:
        found = own.get(step["id"])
        entry = step_object(found) if found else {"id": step["id"], "status": "pending"}
        if step["id"] in items:
            ordered = sorted(items[step["id"]], key=lambda each: each.item)
            entry["items"] = [step_object(each) for each in ordered]
        told.append(entry)
    return told


def _error(code: str | None, message: str | None) -> dict[str, Any] | None:
    return None if code is None else {"code": code, "message": message}
