"""Fraud detection: xgboost trees over rows of payments, network flows or trades.

Place in the path: step 4. Rows arrive packed, are judged in pieces in one worker thread (a few of
them at once, without it), and leave as JSON. What a row may hold is `core.fraud_features`; it never
sees who is asking.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from pydantic import Field

from core.errors import InvalidRequest, SettingsError
from core.fraud import DriftRequest, FraudRequest, estimate_drift, estimate_fraud
from core.fraud_features import Kind
from core.model import CallContext, Frozen, ModelSpec, Operation, Reply
from core.work import WorkUnits
from deployments.device_time import DeviceTime
from deployments.fraud_detector import Detector
from models.fraud_files import Thresholds, read
from models.sources import locate

PIECE_ROWS = 10_000
"""Rows judged at a time: between pieces others get their turn, and a cancelled call ends."""
PIECE_EXPLAINED = 100
"""The same when reasons are computed, which takes a hundred times as long."""
ROWS_AT_ONCE = 4
"""So few are judged in the event loop: half a millisecond, which waking the worker takes too, and
much more of it where other processes want the cores. Nor do they wait for another call's pieces.
"""


Judge = Callable[[Any], bytes | memoryview]


class FraudSettings(Frozen):
    """`engine` settings of a fraud model."""

    name: str
    """Name that answers carry."""
    source: str
    """Directory of trees and facts; see `models.sources` and `models.fraud_files`."""
    thresholds: Mapping[Kind, Thresholds] = {}
    """Scores of review and decline, in place of those that training chose."""
    threads: int | None = Field(None, ge=1)
    """CPU threads of one large batch; every core of the process when None. Few rows take one."""


class Fraud:
    """The detectors of one directory."""

    def __init__(self, settings: FraudSettings) -> None:
        directory = Path(locate(settings.source))
        files = read(directory)
        unused = set(settings.thresholds) - set(files)
        if unused:
            raise SettingsError(
                f"no {', '.join(sorted(unused))} model in {directory}", "thresholds"
            )
        threads = settings.threads or len(os.sched_getaffinity(0))
        self.settings = settings
        self.detectors: dict[Kind, Detector] = {
            kind: Detector(directory, facts, settings.thresholds.get(kind), threads)
            for kind, facts in files.items()
        }
        # One worker: the trees use the cores themselves, and the event loop stays free.
        self.worker = ThreadPoolExecutor(1, "fraud")
        self.device = DeviceTime()

    async def analyse(self, request: FraudRequest, call: CallContext) -> Reply:
        """Score, decision and reasons of each row, in the order of the rows."""
        detector = self._detector(request.kind)
        rows = detector.matrix(request.table)
        step = PIECE_EXPLAINED if request.explained else PIECE_ROWS
        judge = partial(detector.judge, threshold=request.threshold, explained=request.explained)
        judge = partial(self._timed, call, judge)
        loop = asyncio.get_running_loop()
        pieces: list[bytes | memoryview] = []
        for start in range(0, len(rows), step):
            piece = rows[start : start + step]
            if len(rows) <= ROWS_AT_ONCE:
                pieces.append(judge(piece))
            else:
                pieces.append(await loop.run_in_executor(self.worker, judge, piece))
            call.done = WorkUnits(rows=start + len(piece))
        head = {
            "id": f"fraud-{call.request_id}",
            "object": "fraud.analysis",
            "model": self.settings.name,
            "kind": request.kind,
        }
        usage = orjson.dumps({"usage": {"rows": len(rows)}})
        results = [part for piece in pieces for part in (b",", piece)][1:]
        parts = orjson.dumps(head)[:-1], b',"results":[', *results, b"],", usage[1:]
        return Reply(b"".join(parts), call.done)

    def _timed(self, call: CallContext, judge: Judge, piece: Any) -> bytes | memoryview:
        with self.device.busy(call):
            return judge(piece)

    async def drift(self, request: DriftRequest, call: CallContext) -> Reply:
        """How the rows that this replica saw lately differ from those of training."""
        del call
        asked = [request.kind] if request.kind else list(self.detectors)
        loop = asyncio.get_running_loop()
        kinds = [
            await loop.run_in_executor(self.worker, self._detector(kind).drift) for kind in asked
        ]
        body = {"object": "fraud.drift", "model": self.settings.name, "kinds": kinds}
        return Reply(orjson.dumps(body))

    def _detector(self, kind: Kind) -> Detector:
        try:
            return self.detectors[kind]
        except KeyError:
            known = ", ".join(self.detectors)
            raise InvalidRequest(f"this model analyses only: {known}", "kind") from None


SPEC = ModelSpec(
    family="fraud",
    model=Fraud,
    settings=FraudSettings,
    operations={
        "analyse": Operation(method="analyse", request=FraudRequest, estimate=estimate_fraud),
        "drift": Operation(
            method="drift", request=DriftRequest, estimate=estimate_drift, cacheable=False
        ),
    },
    options={"max_ongoing_requests": 128, "max_queued_requests": 512},
)
