"""Apps over HTTP: built by the real builder, kept in a real database, published as real media."""

import io
import json
import re
import zipfile

import pytest

from auth import apps as book
from graphs.app_builder import AppBuilder, AppBuilderSettings
from tests.auth.servers import Valkey
from tests.ingress.test_http import error_of
from tests.ingress.whole_gateway import whole_gateway

TASKS = "A task app. Tasks have a title and a due date. Show a dashboard."
BUILDER = AppBuilder(AppBuilderSettings())


class Building:
    """A dispatcher that has one model: the builder itself."""

    def __init__(self):
        self.calls = 0

    async def answer(self, call, context):
        self.calls += 1
        assert call.model.card.id == "app-builder"
        return await getattr(BUILDER, call.operation.method)(call.request, context)


@pytest.fixture
async def whole(database_url: str, valkey_server: Valkey, tmp_path):
    async with whole_gateway(database_url, valkey_server.url, tmp_path) as whole:
        yield whole


@pytest.fixture
def building(whole, monkeypatch):
    model = Building()
    monkeypatch.setattr(whole.dispatcher, "answer", model.answer)
    return model


@pytest.fixture
async def client(whole, building):
    owner = await whole.world.owner()
    async with whole.world.client(owner["access_token"]) as client:
        yield client


async def app_of(client, path="/v1/apps", **body):
    made = await client.post(path, json={"description": TASKS} | body)
    assert made.status_code == 201, made.text
    return made.json()


async def test_an_app_is_built_kept_listed_and_deleted(client):
    made = await app_of(client)
    assert (made["kind"], made["planner"], made["writer"]) == ("app", "rules", "templates")
    assert made["usage"]["files"] == len(made["files"])
    assert any("CREATE TABLE" in file["content"] for file in made["files"])
    shown = (await client.get(f"/v1/apps/{made['id']}")).json()
    assert shown["files"][0].keys() == {"path", "bytes"}
    listed = (await client.get("/v1/apps")).json()
    assert [app["id"] for app in listed["data"]] == [made["id"]]
    assert "files" not in listed["data"][0]
    assert (await client.delete(f"/v1/apps/{made['id']}")).json()["deleted"]
    assert (await client.get(f"/v1/apps/{made['id']}")).status_code == 404
    assert (await client.get("/v1/apps")).json()["data"] == []


async def test_lists_have_pages_and_kinds(client):
    app = await app_of(client)
    parts = [await app_of(client, "/v1/apps/components", framework="vue") for _ in range(2)]
    first = (await client.get("/v1/apps?limit=2")).json()
    assert first["has_more"]
    rest = (await client.get(f"/v1/apps?after={first['last_id']}")).json()
    assert [each["id"] for each in rest["data"]] == [app["id"]]
    kinds = (await client.get("/v1/apps?kind=component")).json()["data"]
    assert {each["id"] for each in kinds} == {part["id"] for part in parts}
    assert error_of(await client.get("/v1/apps?kind=x"))["param"] == "kind"


async def test_the_same_description_again_is_another_app_and_no_more_work(client, building):
    one, other = await app_of(client), await app_of(client)
    assert one["id"] != other["id"]
    assert one["files"] == other["files"]
    assert building.calls == 1


async def test_the_ledger_counts_files(client, whole):
    made = await app_of(client)
    await whole.ledger.drain()
    row = await whole.world.database.row("SELECT * FROM usage_records WHERE model = 'app-builder'")
    assert json.loads(row["other_units"]) == {"rows": len(made["files"])}
    assert (row["endpoint"], row["operation"]) == ("/v1/apps", "app")


async def test_files_come_one_by_one_and_as_an_archive(client):
    made = await app_of(client)
    files = {file["path"]: file["content"] for file in made["files"]}
    listed = (await client.get(f"/v1/apps/{made['id']}/files")).json()["data"]
    assert {file["path"]: file["content"] for file in listed} == files
    one = await client.get(f"/v1/apps/{made['id']}/files", params={"path": "src/App.jsx"})
    assert one.text == files["src/App.jsx"]
    assert one.headers["content-type"] == "text/plain; charset=utf-8"
    assert one.headers["x-content-type-options"] == "nosniff"
    lost = await client.get(f"/v1/apps/{made['id']}/files", params={"path": "../secret"})
    assert lost.status_code == 404
    packed = await client.get(f"/v1/apps/{made['id']}/archive")
    assert packed.headers["content-disposition"] == 'attachment; filename="task-app.zip"'
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == {"preview.html", *files}
        assert archive.read("package.json").decode() == files["package.json"]
    again = await client.get(f"/v1/apps/{made['id']}/archive")
    assert again.content == packed.content


async def test_a_preview_is_closed_in(client):
    made = await app_of(client)
    page = await client.get(f"/v1/apps/{made['id']}/preview")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "allow-same-origin" not in policy + page.text
    (frame,) = re.findall(r"<iframe [^>]*>", page.text)
    assert 'sandbox="allow-scripts allow-forms' in frame
    assert "<script" not in page.text  # the app's own is text of an attribute


async def test_a_deployment_is_a_link_that_anybody_can_open_until_it_is_withdrawn(client, whole):
    made = await app_of(client)
    path = f"/v1/apps/{made['id']}/deployments"
    deployed = await client.post(path)
    assert deployed.status_code == 201
    link = deployed.json()["url"]
    again = await client.post(path)
    assert again.status_code == 200
    assert again.json() == deployed.json() == (await client.get(path)).json()["data"][0]
    async with whole.world.client() as anyone:
        page = await anyone.get(link)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["content-security-policy"].startswith("sandbox allow-scripts")
        assert "allow-same-origin" not in page.headers["content-security-policy"]
        assert "max-age=60" in page.headers["cache-control"]
        assert "Task app" in page.text
        forged = link.replace("signature=", "signature=A")
        assert (await anyone.get(forged)).status_code == 403
        gone = await client.delete(f"{path}/{deployed.json()['id']}")
        assert gone.json()["deleted"]
        assert (await anyone.get(link)).status_code == 404
    assert (await client.get(path)).json()["data"] == []
    assert (await client.delete(f"{path}/{deployed.json()['id']}")).status_code == 404
    renewed = (await client.post(path)).json()
    assert renewed["id"] != deployed.json()["id"]


async def test_deleting_an_app_undeploys_it_and_gives_storage_back(client, whole):
    made = await app_of(client)
    link = (await client.post(f"/v1/apps/{made['id']}/deployments")).json()["url"]
    assert (await client.get("/v1/media")).json()["storage"]["used_bytes"] > 0
    await client.delete(f"/v1/apps/{made['id']}")
    async with whole.world.client() as anyone:
        assert (await anyone.get(link)).status_code == 404
    assert (await client.get("/v1/media")).json()["storage"]["used_bytes"] == 0


async def test_apps_of_the_same_plan_do_not_share_their_deployment(client, whole):
    one, other = await app_of(client), await app_of(client)
    links = [
        (await client.post(f"/v1/apps/{app['id']}/deployments")).json()["url"]
        for app in (one, other)
    ]
    await client.delete(f"/v1/apps/{one['id']}")
    async with whole.world.client() as anyone:
        assert [(await anyone.get(link)).status_code for link in links] == [404, 200]


async def test_a_page_that_was_deleted_as_media_is_published_anew(client):
    made = await app_of(client)
    path = f"/v1/apps/{made['id']}/deployments"
    first = (await client.post(path)).json()
    await client.delete(f"/v1/media/{first['media_id']}")
    assert (await client.get(path)).json()["data"] == []
    again = await client.post(path)
    assert again.status_code == 201
    assert again.json()["id"] != first["id"]


async def test_a_review_names_file_line_and_severity(client):
    files = [{"path": "src/a.js", "content": "\neval(input);\n"}]
    review = (await client.post("/v1/apps/reviews", json={"files": files})).json()
    (finding,) = review["findings"]
    assert (finding["file"], finding["line"], finding["severity"]) == ("src/a.js", 2, "high")
    assert review["counts"]["high"] == 1


async def test_a_tenant_keeps_so_many_apps_and_no_more(client, monkeypatch, building):
    monkeypatch.setattr(book, "MOST_APPS", 1)
    made = await app_of(client)
    full = await client.post("/v1/apps", json={"description": "An app of customers"})
    assert (full.status_code, building.calls) == (409, 1)
    await client.delete(f"/v1/apps/{made['id']}")
    await app_of(client)


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/apps", {}, "description"),
        ("/v1/apps", {"description": "x"}, "description"),
        ("/v1/apps", {"description": TASKS, "framework": "svelte"}, "framework"),
        ("/v1/apps", {"description": TASKS, "database": "oracle"}, "database"),
        ("/v1/apps", {"description": TASKS, "files": []}, "files"),
        ("/v1/apps/components", {"description": TASKS, "name": "no-name"}, "name"),
        ("/v1/apps/reviews", {"files": []}, "files"),
        ("/nexusai/generate-app", {"description": TASKS, "name": "<b>"}, "name"),
        ("/nexusai/review-code", {"code": "a", "language": "cobol"}, "language"),
        ("/nexusai/deploy", {}, "app_id"),
    ],
)
async def test_bad_requests_are_named_and_leave_nothing(client, building, path, body, param):
    refused = await client.post(path, json=body)
    assert refused.status_code == 400
    assert error_of(refused)["param"] == param
    assert not building.calls
    assert (await client.get("/v1/apps")).json()["data"] == []


async def test_older_clients_build_review_and_deploy(client, whole):
    part = await client.post(
        "/nexusai/generate-component",
        json={"description": "A login form with email and password", "framework": "vue"},
    )
    assert part.status_code == 200
    assert "<script setup>" in part.json()["component"]
    app = (await client.post("/nexusai/generate-app", json={"description": TASKS})).json()
    assert app["success"]
    assert "CREATE TABLE" in app["database_schema"]
    assert (await client.get(app["preview_url"])).status_code == 200
    review = await client.post("/nexusai/review-code", json={"code": "if (a == b) c();"})
    assert review.json()["issues"][0]["line"] == 1
    deployed = (await client.post("/nexusai/deploy", json={"app_id": app["app_id"]})).json()
    assert deployed["status"] == "deployed"
    async with whole.world.client() as anyone:
        assert (await anyone.get(deployed["url"])).status_code == 200


async def test_without_a_key_nothing_is_read(whole):
    async with whole.world.client() as anyone:
        for path in ("/v1/apps", "/v1/apps/reviews", "/nexusai/generate-app"):
            refused = await anyone.post(path, content=b"not json")
            assert refused.status_code == 401


async def test_what_a_builder_answers_is_kept_whole_or_not_at_all(client, whole, monkeypatch):
    async def broken(call, context):
        raise RuntimeError("the replica died")

    monkeypatch.setattr(whole.dispatcher, "answer", broken)
    failed = await client.post("/v1/apps", json={"description": TASKS})
    assert failed.status_code == 500
    assert (await client.get("/v1/apps")).json()["data"] == []
