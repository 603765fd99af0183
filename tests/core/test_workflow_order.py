"""The order of steps: links, cycles, and everything that names what is not there."""

import pytest
from pydantic import ValidationError

from core.errors import InvalidRequest
from core.workflow import Workflow
from core.workflow_drawing import mermaid
from core.workflow_order import linked


def step(name, text="x", **more):
    return {"id": name, "model": "echo", "input": {"text": text}} | more


def workflow(*steps, **more):
    return Workflow.model_validate({"steps": list(steps)} | more)


def order(*steps, **more):
    return [links.step.id for links in linked(workflow(*steps, **more))]


def test_steps_run_after_what_they_wait_for():
    steps = (
        step("last", after=["side"]),
        step("second", "${steps.first.output.text}"),
        step("first"),
        step("side", **{"if": "${steps.second.status} == 'completed'"}),
        step("each", "${item}", map="${steps.first.output.list}"),
    )
    found = order(*steps)
    for earlier, later in (("first", "second"), ("second", "side"), ("side", "last")):
        assert found.index(earlier) < found.index(later)
    assert found.index("first") < found.index("each")


def test_what_is_taken_is_told_from_what_is_only_waited_for():
    links = {
        each.step.id: each
        for each in linked(
            workflow(
                step("a"),
                step("b", "${steps.a.status}", after=["a"]),
                step("c", "${steps.a.output}"),
            )
        )
    }
    assert [*links["b"].data] == []
    assert [*links["b"].waits] == [*links["c"].data] == [*links["c"].waits] == ["a"]


@pytest.mark.parametrize(
    ("steps", "cycle"),
    [
        ([step("a", after=["a"])], "a -> a"),
        ([step("a", "${steps.b.output}"), step("b", "${steps.a.output}")], "a -> b -> a"),
        (
            [
                step("start"),
                step("x", "${steps.z.output}", after=["start"]),
                step("y", **{"if": "${steps.x.status} == 'failed'"}),
                step("z", after=["y"]),
            ],
            "x -> z -> y -> x",
        ),
    ],
)
def test_a_cycle_is_named(steps, cycle):
    with pytest.raises(InvalidRequest) as caught:
        linked(workflow(*steps))
    assert cycle in caught.value.message


@pytest.mark.parametrize(
    ("steps", "param", "told"),
    [
        ([step("a"), step("a")], "steps.1.id", "there is a step 'a' already"),
        ([step("a", after=["b"])], "steps.0.after.0", "there is no step 'b'"),
        ([step("a", "${steps.b.output}")], "steps.0.input.text", "there is no step 'b'"),
        ([step("a", "${inputs.b}")], "steps.0.input.text", "the run has no input 'b'"),
        ([step("a", "${secret.b}")], "steps.0.input.text", "begins with none of"),
        ([step("a", "${item}")], "steps.0.input.text", "needs a 'map'"),
        ([step("a", map="no list")], "steps.0.map", "one reference to a list"),
        ([step("a", map="x ${inputs.a}")], "steps.0.map", "one reference to a list"),
        ([step("a", map="${item}")], "steps.0.map", "before 'map'"),
        ([step("a", map=["${steps.b.output}"])], "steps.0.map.0", "there is no step 'b'"),
        ([step("a", **{"if": "1 +"})], "steps.0.if", "cannot be read"),
        ([step("a", **{"if": "${steps.b.status}"})], "steps.0.if", "there is no step 'b'"),
        ([step("a", map=[1], **{"if": "${item}"})], "steps.0.if", "before 'map'"),
        ([step(f"s{n}", map="${inputs.a}", max_items=100) for n in range(11)], "steps", "1100"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(steps, param, told):
    with pytest.raises(InvalidRequest) as caught:
        linked(workflow(*steps, inputs={"a": []}))
    assert caught.value.param == param
    assert told in caught.value.message


def test_outputs_name_steps_too():
    with pytest.raises(InvalidRequest) as caught:
        linked(workflow(step("a"), outputs={"x": {"y": "${steps.b.output}"}}))
    assert caught.value.param == "outputs.x.y"


def test_more_steps_than_a_person_reads_are_refused():
    with pytest.raises(ValidationError, match="at most 200"):
        workflow(*(step(f"s{n}") for n in range(10_000)))
    chain = [step("s0"), *(step(f"s{n}", after=[f"s{n - 1}"]) for n in range(1, 200))]
    assert order(*reversed(chain)) == [f"s{n}" for n in range(200)]


def test_a_drawing_has_every_step_and_cannot_be_written_into():
    drawn = mermaid(
        linked(
            workflow(
                step("a"),
                step("b", "${steps.a.output}", model='x"]; click'),
                step("c", after=["a"], map=[1], **{"if": "1 < 2"}),
            )
        )
    )
    assert "s0 --> s1" in drawn
    assert "s0 -.-> s2" in drawn
    assert "for each item" in drawn
    assert '"]; click' not in drawn
