"""Repeats: what a rerun takes over of the run that it repeats, at no cost.

Place in the path: before a step's call. A step is unchanged if it asks for the same, which is told
as the response cache tells it: by the whole request with its values, and the model's revision. But
the cache forgets after an hour, and keeps nothing long; rows are there as long as their run. What
is of its moment is not taken over, nor what names files that are gone. It makes no calls.
"""

from dataclasses import replace

from auth.jobs import Job
from auth.workflow_steps import StepBook
from core.errors import NotFound
from core.references import Room, TooLarge
from graphs.orchestrator.outputs import Made, Outputs
from ingress.cache_key import cache_key
from ingress.call import CachePolicy, Call
from ingress.media.store import MediaStore
from ingress.route_rules import names_no_seed
from ingress.workflow_media import media_in


def asked_of(call: Call, policy: CachePolicy, place: str) -> str | None:
    """What names a call's request; None where another call is to be answered anew.

    Args:
        policy: of its run.
        place: step and item. Those that ask for a picture without a seed get one each, and keep it.
    """
    operation = call.operation
    if not (operation.cacheable and policy.write) or operation.is_of_its_moment:
        return None
    key = cache_key(call.model.card, call.operation_name, call.request)
    return f"{key}@{place}" if names_no_seed(call) else key


class Repeats:
    """Looks into runs that are repeated."""

    def __init__(self, steps: StepBook, outputs: Outputs, media: MediaStore) -> None:
        self._steps = steps
        self._outputs = outputs
        self._media = media

    async def made(self, job: Job, asked: str | None) -> Made | None:
        """What the run that `job` repeats made of the same request, if all of it is still there.

        Raises StoreUnavailable.
        """
        before = job.request.get("repeats")
        if before is None or asked is None or not CachePolicy(*job.request["cache"]).read:
            return None
        row = await self._steps.answered(job.tenant_id, before, asked)
        return None if row is None else await self._whole(job, Made(row.output, row.blob))

    async def _whole(self, job: Job, made: Made) -> Made | None:
        try:
            output = await self._outputs.read(job.tenant_id, made, Room())
        except (NotFound, TooLarge):
            return None
        blobs = {media["id"] for media in media_in(output)} | ({made.blob} if made.blob else set())
        found = await self._media.find_all(job.tenant_id, blobs)
        return replace(made, blobs=frozenset(blobs)) if blobs <= found.keys() else None
