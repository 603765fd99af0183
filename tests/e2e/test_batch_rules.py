"""Lines of a batch on a real cluster, as their route would have answered them."""

import httpx

from tests.e2e.test_batches import content, ended, submitted

DRAW = "/v1/images/generations"


def drawing(number, **body):
    asked = {"model": "starter-image", "prompt": "a red circle", "size": "64x64"}
    return {
        "custom_id": f"line-{number}",
        "method": "POST",
        "url": DRAW,
        "body": asked | body,
    }


async def test_pictures_of_a_batch_are_new_ones_and_urls_lead_to_them(pro):
    lines = [drawing(0), drawing(1), drawing(2, response_format="url")]
    async with pro.openai() as client:
        batch = await ended(client, await submitted(client, lines, DRAW))
        assert (batch.status, batch.error_file_id) == ("completed", None), batch
        answers = await content(client, batch.output_file_id)
    drawn = {entry["custom_id"]: entry["response"]["body"]["data"][0] for entry in answers}
    assert drawn["line-0"]["b64_json"] != drawn["line-1"]["b64_json"]
    async with httpx.AsyncClient() as anybody:
        response = await anybody.get(drawn["line-2"]["url"])
    assert response.status_code == 200
    assert response.content.startswith(b"\x89PNG")
