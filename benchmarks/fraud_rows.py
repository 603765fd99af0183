"""Fraud rows: a batch against one by one, and both against the bare library.

The bare side is xgboost in this process with the shipped trees and every core, on the matrix of the
rows. For the batch through HTTP it starts where the service starts, from the JSON of the request,
and ends where it ends.
"""

import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.cluster import Cluster
from benchmarks.compare import Measured, Row, Rule, Target, compared, take_turns
from benchmarks.gateway_rows import Effort
from benchmarks.load import DEFAULT_CONNECTIONS, Shot, Tally, fire
from benchmarks.shots import NO_STORE, post
from core.fraud_features import FEATURES, MERCHANTS, Kind, names

PATH = "/v1/fraud/analyses"
KIND: Kind = "transaction"
BATCH = 10_000
NOTE = "unique rows, Cache-Control: no-store"
SEED = 424_242
IN_PROCESS = 10
"""Batches of a turn without network: a tenth of a second."""


def fraud(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """All rows of the family."""
    del scratch
    rows = _Rows()
    yield _batched(cluster, effort, rows)
    yield _one_row(cluster, effort, rows)
    yield _many_rows(cluster, effort, rows)
    yield _many_rows_in_process(effort, rows)


class _Rows:
    """Drawn rows, as the matrix and as requests, and the bare library."""

    def __init__(self) -> None:
        import xgboost

        from models.fraud_files import trees_path
        from models.starter_fraud import WEIGHTS
        from models.starter_fraud.drawing import draw
        from models.starter_fraud.worlds import WORLDS

        self.trees = xgboost.Booster(model_file=trees_path(WEIGHTS, KIND))
        self.matrix = draw(WORLDS[KIND], SEED, BATCH).rows
        self.names = names(KIND)
        self._amounts = (1 + number / 1000 for number in itertools.count())

    def columns(self) -> dict[str, list[Any]]:
        """The batch as a caller sends it."""
        from deployments.fraud_reasons import plain_value

        return {
            feature.name: [plain_value(feature, value) for value in column]
            for feature, column in zip(FEATURES[KIND], self.matrix.T.tolist(), strict=True)
        }

    def singles(self, key: str, *, explain: bool) -> Iterator[Shot]:
        """One row a request, each another amount."""
        columns = self.columns()
        rows = zip(*columns.values(), strict=True)
        for values in itertools.cycle(rows):
            row = dict(zip(columns, values, strict=True)) | {"amount": next(self._amounts)}
            document = {"kind": KIND, "features": row, "explain": explain}
            expect = b'"reasons"' if explain else b'"decision"'
            yield Shot(post(key, PATH, json.dumps(document).encode(), NO_STORE), expect)

    def batch(self, key: str) -> Iterator[Shot]:
        """The whole batch, again and again."""
        body = self.body()
        return itertools.repeat(
            Shot(post(key, PATH, body, NO_STORE), b'"usage":{"rows":%d}' % BATCH)
        )

    def body(self) -> bytes:
        return json.dumps({"kind": KIND, "columns": self.columns()}).encode()


def _batched(cluster: Cluster, effort: Effort, rows: _Rows) -> Row:
    """Rows each second, as one request of many and as many requests of one."""

    def singles(key: str) -> Iterator[Shot]:
        return rows.singles(key, explain=False)

    def together() -> Measured:
        return Measured(BATCH * _fired(cluster, rows.batch, effort, 2).per_second)

    def alone() -> Measured:
        return Measured(_fired(cluster, singles, effort, DEFAULT_CONNECTIONS).per_second)

    return compared(
        "fraud, batch over one by one",
        "rows/s",
        take_turns(effort.repeats, together, alone),
        peer_name="the same, a row a request",
        note=NOTE,
    )


def _one_row(cluster: Cluster, effort: Effort, rows: _Rows) -> Row:
    """One client, one row, explained by us; the bare library scores it."""
    one = rows.matrix[:1].copy()
    brief = effort.in_brief_turns

    def ours() -> Measured:
        shots = itertools.islice(rows.singles(cluster.key, explain=True), brief.latencies)
        return Measured(fire(cluster.port, [shots]).p50_ms)

    def bare() -> Measured:
        return Measured(_p50_ms(lambda: rows.trees.inplace_predict(one), brief.latencies))

    return compared(
        "fraud, one row, p50",
        "ms",
        take_turns(brief.repeats, ours, bare, thrown_away=1),
        Target(Rule.DIFFERENCE_AT_MOST, 5.0),
        peer_name="xgboost in process",
        note=f"ours through HTTP, with reasons; {NOTE}",
    )


def _many_rows(cluster: Cluster, effort: Effort, rows: _Rows) -> Row:
    """The batch from its JSON to its decisions."""
    body = rows.body()

    def ours() -> Measured:
        return Measured(BATCH * _fired(cluster, rows.batch, effort, 1).per_second)

    def bare() -> Measured:
        return Measured(1000 * BATCH / _p50_ms(lambda: _by_hand(rows, body), effort.rounds))

    return compared(
        f"fraud, {BATCH:,} rows through HTTP",
        "rows/s",
        take_turns(effort.repeats, ours, bare),
        Target(Rule.RATIO_AT_LEAST, 0.8),
        peer_name="json, numpy and xgboost in process, from the same JSON to JSON",
        note=f"columns; one client; {NOTE}",
    )


def _many_rows_in_process(effort: Effort, rows: _Rows) -> Row:
    """The deployment's own work on a request that has arrived, without network."""
    import asyncio

    from core.fraud import FraudRequest
    from core.model import CallContext
    from deployments.fraud import Fraud, FraudSettings

    model = Fraud(FraudSettings(name="fraud", source="starter:starter_fraud"))
    request = FraudRequest(kind=KIND, columns=rows.columns())

    async def analysed() -> float:
        """Median time, ms, inside a running event loop, as in a replica."""
        taken = []
        for _ in range(IN_PROCESS):
            started = time.perf_counter()
            await model.analyse(request, CallContext("bench"))
            taken.append(time.perf_counter() - started)
        return 1000 * statistics.median(taken)

    def bare() -> float:
        return _p50_ms(lambda: rows.trees.inplace_predict(rows.matrix), IN_PROCESS)

    many = effort.in_many_turns
    with asyncio.Runner() as runner:
        turns = take_turns(
            many.repeats,
            lambda: Measured(1000 * BATCH / runner.run(analysed())),
            lambda: Measured(1000 * BATCH / bare()),
            thrown_away=1,
        )
    return compared(
        f"fraud, {BATCH:,} rows in the replica",
        "rows/s",
        turns,
        Target(Rule.RATIO_AT_LEAST, 0.8),
        peer_name="xgboost in process, on the matrix",
        note="from the packed request to the JSON of every decision",
    )


def _by_hand(rows: _Rows, body: bytes) -> bytes:
    """What somebody with the library alone would write."""
    import numpy as np

    columns = json.loads(body)["columns"]
    columns["merchant_category"] = [MERCHANTS.index(m) for m in columns["merchant_category"]]
    matrix = np.array([columns[name] for name in rows.names], dtype=np.float32).T
    scores = rows.trees.inplace_predict(matrix).tolist()
    return json.dumps(
        [{"score": s, "decision": "decline" if s > 0.5 else "approve"} for s in scores]
    ).encode()


def _fired(
    cluster: Cluster, shots: Callable[[str], Iterator[Shot]], effort: Effort, connections: int
) -> Tally:
    clients = [shots(cluster.key) for _ in range(connections)]
    return fire(cluster.port, clients, seconds=effort.seconds / 2)


def _p50_ms(work: Callable[[], Any], times: int) -> float:
    work()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return 1000 * statistics.median(taken)
