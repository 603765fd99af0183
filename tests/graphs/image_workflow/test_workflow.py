"""The stages of an image workflow over a painter and a viewer of this process."""

import asyncio
import base64
import json
import time

import pytest
from pydantic import ValidationError

from core.errors import InvalidRequest, ModelUnavailable
from core.image_workflow import ImageWorkflowRequest, estimate_image_workflow
from core.model import CallContext, ModelCard
from core.work import FIELDS
from graphs.image_workflow.workflow import ImageWorkflow, ImageWorkflowSettings
from tests.fakes.atelier import Painter, Viewer, circle, opened, seen, stand_in

CARD = ModelCard(id="image-workflow", spec="graphs.image_workflow:SPEC")
PROMPT = "a red circle on a blue background"


class Atelier:
    """A workflow, and what its models were asked."""

    def __init__(self, **settings):
        made = ImageWorkflowSettings(image="starter-image", vision="starter-vision", **settings)
        self.workflow = ImageWorkflow(made)
        self.painter = self.workflow.painter._step = stand_in(Painter())
        self.viewer = self.workflow.viewer = stand_in(Viewer())
        self.larger = stand_in(Painter())
        if self.workflow.upscaler is not None:
            self.workflow.upscaler._step = self.larger
        self.call = CallContext("r")

    async def run(self, **fields):
        """The answer. Whatever is asked, the estimate holds."""
        self.call = CallContext("r")
        request = ImageWorkflowRequest.model_validate(fields)
        reply = await self.workflow.run(request, self.call)
        bound = estimate_image_workflow(request, CARD)
        assert reply.units == self.call.done
        for name in FIELDS:
            assert getattr(reply.units, name) <= getattr(bound, name), name
        body = json.loads(reply.body)
        assert body["usage"] == reply.units.nonzero()
        return body

    def operations(self):
        return [operation for operation, _ in self.painter.asked]


@pytest.fixture
def atelier():
    return Atelier()


def picture_of(body, index=0):
    return base64.b64decode(body["data"][index]["b64_json"])


def stages_of(body, index=0):
    return [stage["stage"] for stage in body["data"][index]["stages"]]


async def test_a_prompt_alone_is_drawn_once(atelier):
    body = await atelier.run(prompt=PROMPT, seed=7)
    (picture,) = body["data"]
    assert seen(picture_of(body)) == ("red", "blue")
    assert (picture["seed"], picture["size"], picture["text"]) == (7, "64x64", None)
    assert stages_of(body) == ["generate"]
    assert atelier.viewer.asked == []


async def test_each_prompt_is_drawn_from_each_seed_in_order(atelier):
    prompts = ["a red circle on white", "a green circle on black"]
    body = await atelier.run(prompt=prompts, variations=2, seed=2**31 - 1)
    told = [(p["index"], p["prompt"], p["seed"]) for p in body["data"]]
    assert told == [
        (0, prompts[0], 2**31 - 1),
        (1, prompts[0], 0),
        (2, prompts[1], 2**31 - 1),
        (3, prompts[1], 0),
    ]
    assert [seen(picture_of(body, i))[0] for i in range(4)] == ["red", "red", "green", "green"]
    named = await atelier.run(prompt=PROMPT, seeds=[5, 3])
    assert [p["seed"] for p in named["data"]] == [5, 3]


async def test_without_a_seed_pictures_differ_from_run_to_run(atelier):
    runs = [await atelier.run(prompt=PROMPT, variations=2) for _ in range(2)]
    seeds = [[picture["seed"] for picture in body["data"]] for body in runs]
    assert seeds[0] != seeds[1]
    assert seeds[0][1] == (seeds[0][0] + 1) % 2**31


async def test_how_to_draw_reaches_the_image_model_as_it_knows_it(atelier):
    stage = {
        "size": "128x64",
        "steps": 5,
        "guidance": 2.5,
        "quality": "high",
        "negative_prompt": "text",
        "style": "watercolor",
        "controlnet": "edges",
        "control_image": base64.b64encode(circle("red", "white")).decode(),
        "control_scale": 0.5,
    }
    await atelier.run(prompt=PROMPT, generate=stage)
    ((operation, request),) = atelier.painter.asked
    asked = request.model_dump(include=stage.keys() - {"control_image"})
    assert operation == "generate"
    assert asked == {k: v for k, v in stage.items() if k != "control_image"}
    assert request.control_image.data == circle("red", "white")


async def test_what_the_image_model_refuses_names_the_field_of_the_stage(atelier):
    with pytest.raises(InvalidRequest, match=r"'generate\.lora'") as refused:
        await atelier.run(prompt=PROMPT, generate={"lora": "ghibli"})
    assert refused.value.param == "generate.lora"


async def test_pictures_are_described_and_compared_with_their_prompt(atelier):
    atelier.painter.slips = {1}
    body = await atelier.run(prompt=PROMPT, variations=2, seed=0, describe=True)
    good, bad = body["data"]
    assert good["match"] == {
        "score": 1.0,
        "expected": ["red circle", "blue background"],
        "missing": [],
    }
    assert (bad["match"]["score"], bad["match"]["missing"]) == (0.75, ["red circle"])
    assert bad["text"] == "a black circle on a blue background"
    assert stages_of(body) == ["generate", "describe"]


async def test_a_question_is_compared_with_what_is_expected_of_its_answer(atelier):
    body = await atelier.run(
        prompt=PROMPT, describe={"question": "What colour is it?", "expect": ["green"]}
    )
    (picture,) = body["data"]
    assert (picture["text"], picture["match"]["score"]) == ("red", 0.0)
    unasked = await atelier.run(prompt=PROMPT, describe={"question": "What colour is it?"})
    assert unasked["data"][0]["match"] is None


@pytest.mark.parametrize("how", ["edit", "reseed"])
async def test_the_worst_is_drawn_again_and_the_better_picture_kept(atelier, how):
    atelier.painter.slips = {1}
    body = await atelier.run(
        prompt=PROMPT, variations=3, seed=0, refine={"how": how}, intermediates=True
    )
    assert [p["match"]["score"] for p in body["data"]] == [1.0, 1.0, 1.0]
    assert stages_of(body, 1) == ["generate", "describe", "refine"]
    first, _, again = body["data"][1]["stages"]
    assert seen(base64.b64decode(first["b64_json"]))[0] == "black"
    assert (again["kept"], again["is_final"], again["how"]) == (True, True, how)
    assert body["data"][1]["seed"] == again["seed"] != 1
    assert stages_of(body, 0) == ["generate", "describe"]  # what fits is left alone


async def test_a_try_that_is_no_better_is_told_and_not_kept(atelier):
    atelier.painter.slips, atelier.painter.edits_slip = {0}, True
    body = await atelier.run(prompt=PROMPT, seed=0, refine={"rounds": 3})
    (picture,) = body["data"]
    tries = [stage for stage in picture["stages"] if stage["stage"] == "refine"]
    assert [stage["round"] for stage in tries] == [1, 2, 3]
    assert not any(stage["kept"] for stage in tries)
    assert (picture["seed"], picture["match"]["score"]) == (0, 0.75)
    assert atelier.operations() == ["generate", "edit", "edit", "edit"]


async def test_a_round_takes_only_the_worst(atelier):
    atelier.painter.slips, atelier.painter.edits_slip = {0, 1, 2}, True
    body = await atelier.run(
        prompt=PROMPT, variations=3, seed=0, refine={"rounds": 1, "worst": 2, "target": 0.9}
    )
    assert sum("refine" in stages_of(body, index) for index in range(3)) == 2
    enough = await atelier.run(prompt=PROMPT, seed=0, refine={"target": 0.7})
    assert "refine" not in stages_of(enough)


async def test_upscaling_resamples_and_counts_each_pixel_once(atelier):
    body = await atelier.run(prompt=PROMPT, upscale={"factor": 2.5}, intermediates=True)
    assert opened(picture_of(body)).size == (160, 160)
    assert seen(picture_of(body)) == ("red", "blue")
    drawn, larger = body["data"][0]["stages"]
    assert opened(base64.b64decode(drawn["b64_json"])).size == (64, 64)
    assert (larger["method"], larger["size"], larger["is_final"]) == ("lanczos", "160x160", True)
    assert "b64_json" not in larger  # the picture itself has it
    assert body["usage"]["pixel_steps"] == 64 * 64 * 20 + 160 * 160


async def test_upscaling_by_a_model_takes_one_that_is_configured(atelier):
    with pytest.raises(InvalidRequest) as refused:
        await atelier.run(prompt=PROMPT, upscale={"method": "model"})
    assert refused.value.param == "upscale.method"
    assert atelier.painter.asked == []  # told before anything was drawn
    other = Atelier(upscaler="sdxl")
    body = await other.run(prompt=PROMPT, upscale={"method": "model", "factor": 1.3})
    ((operation, request),) = other.larger.asked
    assert (operation, request.size, request.strength) == ("edit", "80x80", 0.25)
    assert opened(picture_of(body)).size == (80, 80)


async def test_pictures_of_the_request_are_changed_varied_or_taken_as_they_are(atelier):
    images = [base64.b64encode(circle("red", "white")).decode()]
    changed = await atelier.run(
        images=images, prompt="a green circle", generate={"strength": 0.4}, seed=1
    )
    assert seen(picture_of(changed))[0] == "green"
    assert atelier.painter.asked[-1][1].strength == 0.4
    varied = await atelier.run(images=images, generate=True, variations=3)
    assert atelier.operations()[1:] == ["variation"] * 3
    assert seen(picture_of(varied)) == ("red", "white")
    taken = await atelier.run(images=images, prompt="a red circle", describe=True, upscale=True)
    assert stages_of(taken) == ["describe", "upscale"]
    assert (taken["data"][0]["seed"], taken["data"][0]["match"]["score"]) == (None, 1.0)
    assert len(atelier.painter.asked) == 4


async def test_a_broken_picture_names_its_place(atelier):
    cut = circle("red", "white")[:-60]
    with pytest.raises(InvalidRequest) as refused:
        await atelier.run(images=[base64.b64encode(cut).decode()], describe=True)
    assert refused.value.param == "images"


async def test_an_answer_that_is_too_large_to_travel_says_what_to_ask_for(atelier, monkeypatch):
    monkeypatch.setattr(atelier.workflow.answers, "MOST_BYTES", 500)
    with pytest.raises(InvalidRequest, match="the limit is 500") as refused:
        await atelier.run(prompt=PROMPT, variations=4)
    assert refused.value.param == "output_format"


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
async def test_the_format_is_the_one_that_was_asked_for(atelier, kind):
    body = await atelier.run(prompt=PROMPT, output_format=kind, output_compression=80)
    assert opened(picture_of(body)).format == kind.upper()
    assert body["output_format"] == kind


async def test_pictures_of_a_batch_are_drawn_at_once_but_not_all(atelier):
    small = Atelier(at_once=3)
    await small.run(prompt=PROMPT, variations=8, describe=True)
    assert small.painter.most_at_once == 3
    one, many = Atelier(), Atelier()
    one.painter.wait_s = many.painter.wait_s = 0.2
    started = time.perf_counter()
    await one.run(prompt=PROMPT)
    alone = time.perf_counter() - started
    started = time.perf_counter()
    await many.run(prompt=PROMPT, variations=8, generate={"size": "64x64"})
    assert time.perf_counter() - started < 4 * alone  # one after the other takes 8


async def test_when_one_picture_fails_none_is_answered_and_the_others_stop(atelier):
    atelier.painter.errors = [ModelUnavailable("gone")]
    atelier.painter.wait_s = 60
    with pytest.raises(ModelUnavailable):
        await atelier.run(prompt=PROMPT, variations=16, generate={"size": "64x64"})
    await asyncio.sleep(0.01)
    assert len(atelier.painter.asked) <= 9
    assert atelier.painter.at_once == 0
    assert atelier.viewer.asked == []


PICTURE = base64.b64encode(circle("red", "white")).decode()


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({}, "prompt"),
        ({"prompt": ""}, "prompt.0"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["x"] * 17}, "prompt"),
        ({"prompt": "x", "variations": 17}, "variations"),
        ({"prompt": ["x", "y"], "variations": 9}, "variations"),
        ({"prompt": ["x"] * 5, "seeds": [1, 2, 3, 4]}, "seeds"),
        ({"prompt": "x", "seed": 1, "seeds": [1]}, "seeds"),
        ({"prompt": "x", "variations": 2, "seeds": [1]}, "variations"),
        ({"prompt": "x", "seed": 2**31}, "seed"),
        ({"prompt": "x", "colour": "red"}, "colour"),
        ({"prompt": "x", "generate": {"size": "65x64"}}, "generate.size"),
        ({"prompt": "x", "generate": {"strength": 0.5}}, "generate.strength"),
        ({"prompt": "x", "generate": {"style": "nope"}}, "generate.style"),
        ({"prompt": "x", "generate": {"controlnet": "edges"}}, "generate.control_image"),
        ({"prompt": "x", "describe": {"expect": []}}, "describe.expect"),
        ({"prompt": "x", "describe": {"question": "?"}, "refine": True}, "describe.expect"),
        ({"prompt": "x", "refine": {"rounds": 5}}, "refine.rounds"),
        ({"prompt": "x", "upscale": {"factor": 1}}, "upscale.factor"),
        ({"prompt": "x", "upscale": {"factor": 5}}, "upscale.factor"),
        ({"prompt": "x", "generate": {"size": "2048x64"}, "upscale": {"factor": 3}}, None),
        ({"prompt": "x", "variations": 16, "upscale": True}, "upscale.factor"),
        ({"prompt": "x", "upscale": {"factor": 3, "method": "model"}}, "upscale.factor"),
        ({"images": [PICTURE]}, "generate"),
        ({"images": ["bm90IGEgcGljdHVyZQ=="], "describe": True}, "images.0"),
        ({"images": [PICTURE], "prompt": ["a", "b"], "describe": True}, "prompt"),
        ({"images": [PICTURE], "variations": 2, "describe": True}, "variations"),
        ({"images": [PICTURE], "refine": True}, "prompt"),
        ({"images": [PICTURE], "upscale": {"method": "model"}}, "prompt"),
        ({"images": [PICTURE], "generate": {"style": "anime"}}, "generate.style"),
    ],
)
def test_a_bad_request_is_refused_with_its_place_before_anything_is_drawn(fields, place):
    with pytest.raises(ValidationError) as refused:
        ImageWorkflowRequest.model_validate(fields)
    told = ".".join(str(part) for part in refused.value.errors()[0]["loc"])
    assert told == (place or "upscale.factor")


def test_many_pictures_fit_when_their_size_is_named():
    fields = {"prompt": "x", "variations": 16, "upscale": {"factor": 4}}
    ImageWorkflowRequest.model_validate(fields | {"generate": {"size": "256x256"}})
