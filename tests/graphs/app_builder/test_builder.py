"""The builder as a model: what it answers, what a chat model may do in it, and what that costs."""

import asyncio
import json

import pytest
from pydantic import ValidationError

from core.apps import (
    AppRequest,
    ComponentRequest,
    ReviewRequest,
    estimate_app,
    estimate_component,
    estimate_review,
)
from core.errors import ContextOverflow, ModelUnavailable, SettingsError
from core.imports import load_spec
from core.model import CallContext, ModelCard, Reply
from core.settings import parse
from core.work import WorkUnits
from graphs.app_builder import AppBuilder, AppBuilderSettings
from graphs.app_builder.author import Author

TASKS = "A task app. Tasks have a title and a due date."
CARD = ModelCard(id="app-builder", spec="graphs.app_builder:SPEC")
CHATTY = CARD.model_copy(update={"max_output_tokens": 1000})
PLAN = {
    "title": "Bells",
    "entities": [
        {
            "name": "bell",
            "plural": "bells",
            "label": "Bell",
            "plural_label": "Bells",
            "fields": [{"name": "name", "label": "Name"}],
        }
    ],
    "views": [{"kind": "table", "entity": "bell"}],
    "actions": ["create"],
}
FILES = {"files": [{"path": "src/App.jsx", "content": "export default () => <p>Ding</p>;\n"}]}


class Chat:
    """A chat model with answers in store; remembers what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    async def answer(self, operation, request, call):
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        text = answer if isinstance(answer, str) else json.dumps(answer)
        call.done += WorkUnits(input_tokens=50, output_tokens=20)
        return Reply(json.dumps({"choices": [{"message": {"content": text}}]}).encode())


def builder(chat=None, **settings):
    if chat is None:
        return AppBuilder(AppBuilderSettings(**settings))
    made = AppBuilder(AppBuilderSettings(chat="some-chat", **settings))
    made.author = Author(chat, 1000)
    return made


def context(tokens=4000):
    reserved = WorkUnits(rows=100, input_tokens=40_000, output_tokens=tokens)
    return CallContext("r", "app-builder", reserved=reserved)


async def built(made, request, call=None):
    call = call or context()
    verb = made.component if isinstance(request, ComponentRequest) else made.app
    reply = await verb(request, call)
    assert reply.units == call.done
    return json.loads(reply.body)


async def test_a_component_is_a_project_with_a_main_file_and_a_page():
    body = await built(builder(), ComponentRequest(description="A table of tasks with title"))
    assert (body["kind"], body["name"], body["planner"]) == ("component", "TaskTable", "rules")
    assert body["main"] == "src/components/TaskTable.jsx"
    assert "function TaskTable" in {f["path"]: f["content"] for f in body["files"]}[body["main"]]
    assert body["page"].startswith("<!doctype html>")
    assert body["usage"]["files"] == len(body["files"])


@pytest.mark.parametrize("framework", ["react", "vue"])
async def test_an_app_has_files_and_a_schema_in_its_dialect(framework):
    request = AppRequest(
        description=TASKS, framework=framework, database="mysql", name="My Tasks 2"
    )
    body = await built(builder(), request)
    files = {f["path"]: f["content"] for f in body["files"]}
    assert "`tasks`" in files["database/schema.sql"]
    assert body["main"] in files
    assert body["name"] == "My Tasks 2"
    assert (body["planner"], body["writer"]) == ("rules", "templates")


@pytest.mark.parametrize("framework", ["react", "vue"])
@pytest.mark.parametrize("word", ["class", "default", "package"])
async def test_a_word_of_javascript_is_a_name_like_others(word, framework):
    request = AppRequest(description=f"Lessons have {word} and new.", framework=framework)
    body = await built(builder(), request)  # which raises where a file does not parse
    assert body["plan"]["entities"][0]["fields"][0]["name"] == word


async def test_the_same_request_is_the_same_answer():
    one, other = [await built(builder(), AppRequest(description=TASKS)) for _ in range(2)]
    assert one == other


async def test_no_request_makes_more_files_than_was_reserved():
    crowd = "An app with " + " and ".join(f"gadget{chr(97 + n)}s" for n in range(20)) + " charts"
    app = AppRequest(description=crowd, framework="vue")
    assert (await built(builder(), app))["usage"]["files"] <= estimate_app(app, CARD).rows
    part = ComponentRequest(description=crowd)
    assert (await built(builder(), part))["usage"]["files"] <= estimate_component(part, CARD).rows


async def test_a_model_plans_where_it_may():
    chat = Chat(PLAN)
    call = context()
    body = await built(builder(chat, planner="model"), AppRequest(description=TASKS), call)
    assert body["planner"] == "model"
    assert body["plan"]["title"] == "Bells"
    assert "src/components/BellTable.jsx" in {f["path"] for f in body["files"]}
    assert (call.done.input_tokens, call.done.output_tokens) == (50, 20)
    assert body["usage"]["total_tokens"] == 70
    (asked,) = chat.asked
    assert asked.response_format["type"] == "json_schema"
    assert TASKS in asked.messages[-1].content
    assert "pattern" not in json.dumps(asked.response_format)


async def test_a_plan_with_faults_is_asked_for_once_more_with_their_places():
    broken = PLAN | {"views": [{"kind": "table", "entity": "whistle"}]}
    chat = Chat(broken, PLAN)
    body = await built(builder(chat, planner="model"), AppRequest(description=TASKS))
    assert body["planner"] == "model"
    assert "whistle" in chat.asked[1].messages[-1].content


async def test_a_plan_that_stays_wrong_is_left_for_the_rules_and_said():
    chat = Chat("I would rather not", PLAN | {"title": "</script>"})
    body = await built(builder(chat, planner="model"), AppRequest(description=TASKS))
    assert body["planner"] == "rules"
    assert "src/components/TaskTable.jsx" in {f["path"] for f in body["files"]}
    assert "title" in body["notes"][0]


async def test_a_component_of_a_model_is_one_view():
    two = PLAN | {"views": [*PLAN["views"], {"kind": "form", "entity": "bell"}]}
    chat = Chat(two, PLAN)
    body = await built(
        builder(chat, planner="model"), ComponentRequest(description="A table of bells")
    )
    assert (body["planner"], body["name"]) == ("model", "BellTable")


async def test_a_model_writes_where_it_may():
    body = await built(builder(Chat(FILES), writer="model"), AppRequest(description=TASKS))
    assert (body["planner"], body["writer"]) == ("rules", "model")
    assert [f["path"] for f in body["files"]] == ["src/App.jsx"]
    assert any("preview shows the plan" in note for note in body["notes"])


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ({"path": "../../a.js", "content": ""}, "relative"),
        ({"path": "src/App.jsx", "content": "export default () => (\n  <p>"}, "src/App.jsx:"),
        ({"path": "run.sh", "content": "rm -rf"}, "only files that end in"),
        ({"path": "a.js", "content": "x" * 300_000}, "bytes, over"),
    ],
)
async def test_files_with_faults_are_asked_for_once_more_with_their_places(file, told):
    chat = Chat({"files": [file]}, FILES)
    body = await built(builder(chat, writer="model"), AppRequest(description=TASKS))
    assert body["writer"] == "model"
    assert told in chat.asked[1].messages[-1].content


async def test_files_that_stay_wrong_are_left_for_the_templates_and_said():
    chat = Chat({"files": []}, {"files": "none"})
    body = await built(builder(chat, writer="model"), AppRequest(description=TASKS))
    assert body["writer"] == "templates"
    assert "files" in body["notes"][0]


@pytest.mark.parametrize(
    "answer",
    [
        '{"files": [{"path": "a.md", "content": "\\u0000"}]}',
        '{"files": [{"path": "a\\u0000.md", "content": ""}]}',
        '{"files": [{"path": "a.md", "content": "\\ud800"}]}',
        '{"files": [{"path": "\\ud800.md", "content": ""}]}',
        '{"files": ' + "[" * 5_000,
    ],
)
async def test_files_that_nobody_could_keep_are_left_for_the_templates(answer):
    body = await built(builder(Chat(answer, answer), writer="model"), AppRequest(description=TASKS))
    assert body["writer"] == "templates"
    assert "\0" not in json.dumps(body, ensure_ascii=False)


async def test_a_model_never_gets_more_than_was_reserved():
    chat = Chat("nonsense", "nonsense")
    await built(builder(chat, planner="model"), AppRequest(description=TASKS), context(300))
    assert [request.max_completion_tokens for request in chat.asked] == [300, 280]
    chat = Chat()
    body = await built(builder(chat, planner="model"), AppRequest(description=TASKS), context(0))
    assert body["planner"] == "rules"
    assert not chat.asked


async def test_a_model_that_is_too_small_is_said_and_one_that_is_away_is_told():
    chat = Chat(ContextOverflow("too long"))
    body = await built(builder(chat, planner="model"), AppRequest(description=TASKS))
    assert body["planner"] == "rules"
    with pytest.raises(ModelUnavailable):
        await built(
            builder(Chat(ModelUnavailable("away")), planner="model"), AppRequest(description=TASKS)
        )


async def test_a_review_has_findings_counts_and_words():
    request = ReviewRequest(
        files=[{"path": "a.js", "content": "eval(a);"}, {"path": "b.go", "content": "x"}]
    )
    call = context()
    reply = await builder(Chat("Do not."), reviewer="model").review(request, call)
    body = json.loads(reply.body)
    assert body["findings"][0] == {
        "rule": "no-eval",
        "severity": "high",
        "file": "a.js",
        "line": 1,
        "column": 1,
        "message": body["findings"][0]["message"],
    }
    assert body["counts"]["high"] == 1
    assert body["summary"] == "1 high in 2 files"
    assert body["unknown"] == ["b.go"]
    assert (body["reviewer"], body["comments"]) == ("rules+model", "Do not.")
    assert reply.units.rows == 2
    plain = json.loads((await builder().review(request, context())).body)
    assert (plain["reviewer"], plain["comments"]) == ("rules", None)


def test_what_is_reserved_is_the_most():
    app = AppRequest(description=TASKS)
    assert estimate_app(app, CARD) == WorkUnits(rows=100)
    assert estimate_app(app, CHATTY).output_tokens == 4000
    assert estimate_app(app, CHATTY).input_tokens > 4 * 10_000
    small = CHATTY.model_copy(update={"context_window": 2048})
    assert estimate_app(app, small).input_tokens == 4 * 2048
    review = ReviewRequest(files=[{"path": "a.js", "content": ""}])
    assert estimate_review(review, CARD) == WorkUnits(rows=1)


def test_settings_that_cannot_work_are_refused():
    for part in ("planner", "writer", "reviewer"):
        with pytest.raises(SettingsError, match="chat"):
            parse(AppBuilderSettings, {part: "model"}, "engine")


@pytest.mark.parametrize(
    "document",
    [
        {"description": "ab"},
        {"description": "   \n  "},
        {"description": "a\x00b c"},
        {"description": "x" * 4001},
        {"description": "a table", "framework": "angular"},
        {"description": "a table", "name": "../x"},
        {"description": "a table", "tenant": "t"},
        {},
    ],
)
def test_requests_that_cannot_be_met_are_refused(document):
    for kind in (ComponentRequest, AppRequest):
        with pytest.raises(ValidationError):
            kind.model_validate(document)


@pytest.mark.parametrize(
    "files",
    [
        [],
        [{"path": "a.js", "content": ""}] * 2,
        [{"path": "a\n.js", "content": ""}],
        [{"path": f"{n}.js", "content": ""} for n in range(101)],
        [{"path": f"{n}.js", "content": "x" * 120_000} for n in range(9)],
        [{"path": "a.js", "content": "x" * 140_000}],
    ],
)
def test_reviews_that_are_too_much_are_refused(files):
    with pytest.raises(ValidationError):
        ReviewRequest.model_validate({"files": files})


def test_the_spec_is_what_the_configuration_names():
    assert set(load_spec("graphs.app_builder:SPEC").operations) == {"component", "app", "review"}


def test_the_gateway_can_read_the_spec_without_any_grammar():
    program = (
        "import sys; import graphs.app_builder;"
        "print([m for m in ('tree_sitter', 'sqlglot', 'torch') if m in sys.modules])"
    )

    async def run():
        import sys

        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        return out.decode().strip()

    assert asyncio.run(run()) == "[]"
