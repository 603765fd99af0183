"""Apps on a real cluster: built by a model that slept, kept, shown, published, withdrawn."""

import asyncio

import httpx
import pytest

pytestmark = pytest.mark.timeout(300)


async def patiently(http, path, body):
    """A sleeping builder may answer 503 first, with a time to come back."""
    for _ in range(8):
        response = await http.post(path, json=body, timeout=200.0)
        if response.status_code != 503:
            return response
        await asyncio.sleep(float(response.headers.get("retry-after", "1")))
    return response


async def test_an_app_from_its_description_to_its_link(pro, other):
    description = "A library. Books have a title, an author and a year. Search and export."
    async with pro.http() as http:
        made = await patiently(http, "/v1/apps", {"description": description, "framework": "vue"})
        assert made.status_code == 201, made.text
        app = made.json()
        assert "src/pages/BooksPage.vue" in {file["path"] for file in app["files"]}
        path = f"/v1/apps/{app['id']}"
        assert (await http.get(f"{path}/archive")).content[:2] == b"PK"
        assert "sandbox" in (await http.get(f"{path}/preview")).headers["content-security-policy"]
        deployed = (await http.post(f"{path}/deployments")).json()
        async with other.http() as theirs:
            assert (await theirs.get(path)).status_code == 404
            assert (await theirs.post(f"{path}/deployments")).status_code == 404
        async with httpx.AsyncClient() as anyone:
            page = await anyone.get(deployed["url"])
            assert page.headers["content-type"].startswith("text/html")
            assert page.headers["content-security-policy"].startswith("sandbox")
            assert "Books" in page.text
            await http.delete(path)
            assert (await anyone.get(deployed["url"])).status_code == 404
    row = await pro.answered_row()
    assert f'"rows": {len(app["files"])}' in str(row["other_units"])


async def test_a_review_over_http(pro):
    body = {"code": "const a = eval(b);\nuse(a);", "language": "typescript"}
    async with pro.http() as http:
        review = (await patiently(http, "/nexusai/review-code", body)).json()
    assert [issue["rule"] for issue in review["issues"]] == ["no-eval"]
