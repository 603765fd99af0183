"""Image workflows with the gallery, and market insight: real models, real handles, over HTTP."""

import base64
import io
import json
import re
import subprocess

import httpx
import pytest
from PIL import Image

from core.settings import ROOT

pytestmark = pytest.mark.timeout(300)
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
RETRY = "curl --fail-with-body --silent --show-error --retry 5 --retry-all-errors"


async def patiently(http, path, body):
    """Sleeping models may answer 503 first, with a time to come back."""
    transport = httpx.Timeout(200.0)
    for _ in range(8):
        response = await http.post(path, json=body, timeout=transport)
        if response.status_code != 503:
            break
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_batch_is_drawn_described_refined_upscaled_and_hung(pro, other):
    async with pro.http() as http:
        body = await patiently(
            http,
            "/v1/images/workflows",
            {
                "prompt": ["a red circle on a blue background", "a yellow star on black"],
                "seeds": [7, 8],
                "generate": {"size": "64x64"},
                "refine": {"rounds": 1},
                "upscale": {"factor": 4},
                "tags": ["proof"],
            },
        )
        scores = [picture["match"]["score"] for picture in body["data"]]
        assert len(scores) == 4
        assert sum(scores) / 4 > 0.8
        content = (await http.get(body["data"][0]["url"])).content
        assert Image.open(io.BytesIO(content)).size == (256, 256)
        found = (await http.get("/v1/gallery?q=star&tag=proof")).json()["data"]
        assert {item["seed"] for item in found} == {p["seed"] for p in body["data"][2:]}
        async with other.http() as theirs:
            assert (await theirs.get("/v1/gallery")).json()["data"] == []
            assert (await theirs.get(f"/v1/gallery/{found[0]['id']}")).status_code == 404
        assert (await http.delete(f"/v1/gallery/{found[0]['id']}")).status_code == 200
        assert (await http.get(f"/v1/gallery/{found[0]['id']}")).status_code == 404
        assert (await http.get(found[0]["url"])).status_code == 404
    row = await pro.answered_row()
    assert row["model"] == "image-workflow"
    assert row["input_tokens"] == body["usage"]["input_tokens"] > 0
    assert json.loads(row["other_units"])["pixel_steps"] == body["usage"]["pixel_steps"]
    assert row["money"] > 0


async def test_a_report_on_a_coin_has_numbers_words_and_a_chart(pro):
    async with pro.http() as http:
        body = await patiently(
            http,
            "/v1/forecasts/insights",
            {"symbol": "eth", "days": 14, "texts": ["Ether soars to new highs", "Rally goes on"]},
        )
        unknown = await http.post("/v1/forecasts/insights", json={"symbol": "NOPE"})
    assert len(body["forecast"]["predictions"]) == 14
    assert body["sentiment"]["label"] == "bullish"
    assert body["summary"].startswith("ETH closed at ")
    picture = Image.open(io.BytesIO(base64.b64decode(body["chart"]["b64_json"])))
    assert picture.size == (960, 540)
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (404, "symbol")
    assert json.loads((await pro.answered_row())["other_units"]) == body["usage"]


def curls():
    pages = [ROOT / "docs" / name for name in ("workflows-images.md", "market.md")]
    return [block for page in pages for block in BLOCK.findall(page.read_text())]


@pytest.mark.parametrize("command", curls(), ids=lambda text: text.split("/v1/")[1].split()[0])
def test_a_curl_of_the_pages_answers(cluster, tmp_path, command):
    command = command.replace("http://127.0.0.1:8000", cluster.base_url)
    command = command.replace(".carillon/api-key", str(cluster.state / "api-key"))
    command = command.replace("curl ", f"{RETRY} ", 1)
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert answer["object"] in ("image.workflow", "list", "market.insight")
