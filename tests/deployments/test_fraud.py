"""The fraud deployment on its shipped weights: decisions, reasons, batches, drift."""

import asyncio
import json
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from core.errors import InvalidRequest, SettingsError
from core.fraud import DriftRequest, FraudRequest
from core.fraud_features import FEATURES, KINDS, names
from core.model import CallContext
from core.settings import parse
from core.work import WorkUnits
from deployments.fraud import PIECE_ROWS, Fraud, FraudSettings
from deployments.fraud_detector import DECISIONS
from deployments.fraud_drift import KEPT_ROWS
from deployments.fraud_reasons import FLAG_TEXTS, TEXTS, plain_value
from models.starter_fraud import WEIGHTS
from models.starter_fraud.drawing import ORDINARY, draw, draw_unseen
from models.starter_fraud.worlds import WORLDS

ENGINE = {"name": "fraud", "source": "starter:starter_fraud", "threads": 1}
STOLEN = {
    "amount": 890,
    "amount_ratio": 7.4,
    "hour": 3.2,
    "foreign": True,
    "card_present": False,
    "merchant_category": "electronics",
    "distance_km": 4200,
}
COFFEE = {
    "amount": 3.4,
    "amount_ratio": 0.9,
    "hour": 9.5,
    "foreign": False,
    "card_present": True,
    "merchant_category": "restaurant",
    "distance_km": 0.4,
    "transactions_1h": 0,
    "declines_1h": 0,
}


def load(**changes):
    return Fraud(parse(FraudSettings, ENGINE | changes, "test"))


@pytest.fixture(scope="module")
def shared():
    return load()


async def analyse(model, kind="transaction", **fields):
    request = FraudRequest.model_validate({"kind": kind} | fields)
    reply = await model.analyse(request, CallContext("r"))
    assert reply.media_type == "application/json"
    return json.loads(reply.body)


def columns(kind, rows):
    return {
        name: [plain_value(feature, float(value)) for value in rows[:, index]]
        for index, (name, feature) in enumerate(zip(names(kind), FEATURES[kind], strict=True))
    }


def test_importing_the_module_loads_no_heavy_library():
    program = (
        "import sys; import deployments.fraud; "
        "print([name for name in ('xgboost', 'sklearn', 'torch', 'pandas') if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


async def test_a_stolen_card_is_declined_and_a_coffee_is_not(shared):
    stolen = await analyse(shared, features=STOLEN)
    coffee = await analyse(shared, features=COFFEE)
    assert stolen["results"][0]["decision"] == "decline"
    assert stolen["results"][0]["score"] > 0.9
    assert coffee["results"][0]["decision"] == "approve"
    assert coffee["results"][0]["score"] < 0.02


async def test_the_answer_has_its_envelope(shared):
    answer = await analyse(shared, features=STOLEN)
    assert {name: answer[name] for name in ("id", "object", "model", "kind", "usage")} == {
        "id": "fraud-r",
        "object": "fraud.analysis",
        "model": "fraud",
        "kind": "transaction",
        "usage": {"rows": 1},
    }


async def test_reasons_say_what_a_person_can_check_strongest_first(shared):
    reasons = (await analyse(shared, features=STOLEN))["results"][0]["reasons"]
    told = {reason["feature"]: reason for reason in reasons}
    assert told["foreign"]["value"] is True
    assert told["foreign"]["text"] == "the merchant is in another country, which raises the risk"
    assert told["hour"]["text"].startswith("the local time is 03:12")
    assert told["merchant_category"]["value"] == "electronics"
    moved = [reason["contribution"] for reason in reasons]
    assert moved == sorted(moved, reverse=True)
    assert min(moved) > 0


async def test_an_approved_row_tells_what_speaks_for_it(shared):
    reasons = (await analyse(shared, features=COFFEE))["results"][0]["reasons"]
    assert reasons
    assert all(reason["contribution"] < 0 for reason in reasons)
    assert all(reason["text"].endswith("lowers the risk") for reason in reasons)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_first_reason_of_most_frauds_is_a_sign_of_their_cause(shared, kind):
    world = WORLDS[kind]
    drawn = draw(world, 555, 12_000)
    caught = np.flatnonzero(drawn.causes != ORDINARY)[:300]
    answer = await analyse(shared, kind, columns=columns(kind, drawn.rows[caught]), explain=True)
    named = []
    for cause, result in zip(drawn.causes[caught], answer["results"], strict=True):
        if result["decision"] != DECISIONS[kind][0]:
            named.append(result["reasons"][0]["feature"] in world.causes[cause].signs)
    assert len(named) > 0.85 * len(caught)
    assert sum(named) / len(named) >= 0.85


async def test_a_row_scores_the_same_alone_in_a_batch_and_explained(shared):
    many = [STOLEN, COFFEE] * 40
    batch = (await analyse(shared, rows=many))["results"]
    explained = (await analyse(shared, rows=many, explain=True))["results"]
    alone = (await analyse(shared, features=STOLEN, explain=False))["results"][0]
    assert [r["decision"] for r in batch] == ["decline", "approve"] * 40
    assert alone == batch[0]
    for plain, with_reasons in zip(batch, explained, strict=True):
        assert with_reasons["score"] == pytest.approx(plain["score"], abs=2e-6)
        assert "reasons" not in plain
        assert with_reasons["reasons"]


async def test_results_are_in_the_order_of_the_rows_across_pieces(shared):
    amounts = np.linspace(1, 5000, 2 * PIECE_ROWS + 7).round(2).tolist()
    given = {"amount": amounts, "amount_ratio": [6.0] * len(amounts)}
    whole = (await analyse(shared, columns=given))["results"]
    assert len(whole) == len(amounts)
    for index in (0, PIECE_ROWS - 1, PIECE_ROWS, 2 * PIECE_ROWS, len(amounts) - 1):
        one = {"amount": amounts[index], "amount_ratio": 6.0}
        assert (await analyse(shared, features=one, explain=False))["results"][0] == whole[index]


async def test_a_threshold_of_the_request_moves_review_but_never_above_decline(shared):
    score = (await analyse(shared, features=STOLEN))["results"][0]["score"]
    for threshold, decision in ((0.0, "decline"), (score, "decline"), (1.0, "approve")):
        answer = await analyse(shared, features=STOLEN, threshold=threshold)
        assert answer["results"][0]["decision"] == decision
    coffee = await analyse(shared, features=COFFEE, threshold=0.0)
    assert coffee["results"][0]["decision"] == "review"


async def test_thresholds_of_the_settings_replace_those_of_training():
    strict = load(thresholds={"transaction": {"review": 0.0, "decline": 0.0001}})
    assert (await analyse(strict, features=COFFEE))["results"][0]["decision"] == "decline"


@pytest.mark.parametrize(
    "thresholds",
    [{"transaction": {"review": 0.9, "decline": 0.1}}, {"insurance": {"review": 0, "decline": 1}}],
)
def test_thresholds_that_make_no_sense_stop_the_start(thresholds):
    with pytest.raises(SettingsError):
        load(thresholds=thresholds)


@pytest.mark.parametrize("kind", ["network", "trading"])
async def test_an_attack_that_nobody_labelled_is_still_looked_at(shared, kind):
    world = WORLDS[kind]
    for name in world.unseen:
        rows = draw_unseen(world, name, 8, 200).rows
        answer = await analyse(shared, kind, columns=columns(kind, rows), explain=True)
        passed = [r for r in answer["results"] if r["decision"] == DECISIONS[kind][0]]
        assert len(passed) < 0.2 * len(rows)
        by_novelty = [
            r
            for r in answer["results"]
            if r["decision"] != DECISIONS[kind][0] and r["reasons"][-1]["feature"] == "novelty"
        ]
        assert by_novelty
        assert "unlike any" in by_novelty[0]["reasons"][-1]["text"]


async def test_unknown_features_are_unknown_not_zero(shared):
    little = await analyse(shared, features={"amount": 30})
    null = await analyse(shared, features={"amount": 30, "hour": None})
    zero = await analyse(shared, features={"amount": 30, "hour": 0, "foreign": True})
    assert little["results"] == null["results"]
    assert little["results"] != zero["results"]


async def test_a_kind_that_the_directory_lacks_is_refused_by_name(tmp_path):
    for name in ("trading.json", "trading.ubj"):
        shutil.copy(WEIGHTS / name, tmp_path)
    model = load(source=str(tmp_path))
    with pytest.raises(InvalidRequest) as caught:
        await analyse(model, features=COFFEE)
    assert caught.value.param == "kind"
    assert "trading" in caught.value.message


async def test_a_cancelled_batch_stops_and_is_counted_as_far_as_it_came(monkeypatch):
    model, call, loop = load(), CallContext("r"), asyncio.get_running_loop()
    detector, judged = model.detectors["transaction"], []
    judge = detector.judge

    def cancelled_in_the_second_piece(piece, *rest, **named):
        judged.append(len(piece))
        if len(judged) == 2:
            loop.call_soon_threadsafe(running.cancel)
        return judge(piece, *rest, **named)

    monkeypatch.setattr(detector, "judge", cancelled_in_the_second_piece)
    request = FraudRequest(kind="transaction", columns={"amount": [5.0] * (4 * PIECE_ROWS)})
    running = asyncio.ensure_future(model.analyse(request, call))
    with pytest.raises(asyncio.CancelledError):
        await running
    assert judged == [PIECE_ROWS, PIECE_ROWS]
    assert call.done == WorkUnits(rows=PIECE_ROWS)


async def test_one_row_does_not_wait_for_a_batch_that_is_being_judged(shared):
    released = threading.Event()
    busy = shared.worker.submit(released.wait, 60)
    try:
        answer = await asyncio.wait_for(analyse(shared, features=STOLEN), 30)
        assert answer["results"][0]["decision"] == "decline"
        assert not busy.done()
    finally:
        released.set()


async def test_drift_is_silent_until_there_are_rows_then_stable_then_names_what_moved():
    model = load()

    async def report():
        reply = await model.drift(DriftRequest(kind="network"), CallContext("r"))
        return json.loads(reply.body)["kinds"][0]

    assert (await report())["score"] == {"psi": None, "status": "too few rows"}
    ordinary = draw(WORLDS["network"], 21, 6000).rows
    for start in range(0, len(ordinary), 400):
        await analyse(model, "network", columns=columns("network", ordinary[start : start + 400]))
    calm = await report()
    assert calm["rows"] == 6000
    assert {feature["status"] for feature in calm["features"]} == {"stable"}
    assert calm["score"]["status"] == "stable"

    moved = ordinary.copy()
    moved[:, names("network").index("duration_s")] *= 30
    for _ in range(4):
        for start in range(0, len(moved), 400):
            await analyse(model, "network", columns=columns("network", moved[start : start + 400]))
    shaken = await report()
    assert shaken["rows"] == KEPT_ROWS
    assert (shaken["features"][0]["feature"], shaken["features"][0]["status"]) == (
        "duration_s",
        "drifted",
    )
    others = {feature["status"] for feature in shaken["features"][1:]}
    assert others == {"stable"}


async def test_drift_of_every_kind_is_reported_when_none_is_named(shared):
    reply = await shared.drift(DriftRequest(), CallContext("r"))
    answer = json.loads(reply.body)
    assert [entry["kind"] for entry in answer["kinds"]] == list(KINDS)
    assert reply.units == WorkUnits()


def test_every_feature_has_words():
    features = {feature.name: feature for kind in KINDS for feature in FEATURES[kind]}
    flags = {name for name, feature in features.items() if feature.unit == "flag"}
    assert set(FLAG_TEXTS) == flags
    assert set(TEXTS) == set(features) - flags


async def test_the_engines_time_is_counted_for_the_call(shared):
    call = CallContext("r")
    request = FraudRequest.model_validate({"kind": "transaction", "features": STOLEN})
    started = time.perf_counter()
    await shared.analyse(request, call)
    assert 0 < call.device_s <= time.perf_counter() - started
