"""Recall: what models know of calls whose gateway died before it had told of their end.

Place in the path: beside step 5, in the ledger's application. When a lease runs out the sweeper
can only guess. Here the replicas of the model are asked: one that brought the call to its end
remembers what it took (`graphs.ended`), and with that the guess is corrected. Calls that were cut
short are reported by their replicas themselves (`graphs.orphans`). It does not sweep.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from auth.admission import Abandoned
from core.model import Ended
from graphs.model_errors import PLAIN

GRACE_S = 10.0
"""A gateway that lives, and was only slow, knows more than its model does: it comes first."""
RECALL_S = 5.0
"""How long replicas have to say what they know."""

Settle = Callable[[str, Ended], Awaitable[None]]
logger = logging.getLogger("ray.serve")


class Recall:
    """Asks for the ends of abandoned calls, in the background.

    Args:
        settle: is told of each end that somebody knows.
    """

    def __init__(self, settle: Settle) -> None:
        self._settle = settle
        self._handles: dict[str, DeploymentHandle[Any]] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    def begin(self, abandoned: Iterable[Abandoned]) -> None:
        """Start to ask; returns at once. Where nobody knows, the guess stays."""
        calls: dict[str, list[str]] = defaultdict(list)
        for request_id, application in abandoned:
            if application is not None:
                calls[application].append(request_id)
        for application, request_ids in calls.items():
            task = asyncio.get_running_loop().create_task(self._ask(application, request_ids))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _ask(self, application: str, request_ids: list[str]) -> None:
        await asyncio.sleep(GRACE_S)
        ends: dict[str, Ended] = {}
        try:
            async with asyncio.timeout(RECALL_S):
                ends = await self._ends(application, request_ids)
        except (TimeoutError, RayError, RayServeException) as error:
            self._handles.pop(application, None)
            logger.warning("%s tells of no lost ends: %s", application, type(error).__name__)
        for request_id, ended in ends.items():
            await self._settle(request_id, ended)

    async def _ends(self, application: str, request_ids: list[str]) -> dict[str, Ended]:
        if application not in self._handles:
            # Blocks for a round trip to the controller: once is enough.
            handle: DeploymentHandle[Any] = serve.get_app_handle(application)
            self._handles[application] = handle.options(**PLAIN)
        replies = self._handles[application].broadcast("ended", request_ids)
        answers = await replies.results_async(timeout_s=RECALL_S, return_exceptions=True)
        return {
            request_id: ended
            for answer in answers
            if isinstance(answer, dict)
            for request_id, ended in answer.items()
        }
