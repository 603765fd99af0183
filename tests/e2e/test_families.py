"""Every model family through the governed path, with the official SDK and as older clients call."""

import asyncio
import base64
import io

import httpx
import openai
import pytest
from PIL import Image

from tests.e2e.seen import shown
from tests.e2e.test_chat import settled

pytestmark = pytest.mark.timeout(300)
PATIENCE = {"timeout": 120.0, "max_retries": 8}
"""A sleeping model may take longer than a caller waits: the SDK then comes back when told."""


def picture(color=(220, 30, 30), side=64):
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), color).save(buffer, "PNG")
    return buffer.getvalue()


def data_url(data):
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


async def test_a_herd_wakes_a_sleeping_model_once_and_loses_nothing(cluster, pro):
    async with pro.openai(**PATIENCE) as client:
        answers = await asyncio.gather(
            *(
                client.images.generate(
                    model="starter-image",
                    prompt="a red circle on a blue background",
                    response_format="b64_json",
                    extra_body={"seed": number, "steps": 2},
                )
                for number in range(50)
            )
        )
    assert len(answers) == 50
    assert all(answer.data[0].b64_json for answer in answers)
    await settled(pro, 50)
    status = cluster.carillon("status")
    assert "1 running" in next(line for line in status.splitlines() if "starter-image" in line)


async def test_pictures_by_url_show_what_was_asked_for_and_are_served_signed_only(pro, other):
    async with pro.openai(**PATIENCE) as client:
        made = await client.images.generate(
            model="starter-image",
            prompt="a red circle on a white background",
            response_format="url",
            n=2,
            extra_body={"seed": 4},
        )
    async with httpx.AsyncClient() as anyone:
        whole = await anyone.get(made.data[0].url)
        assert whole.headers["content-type"] == "image/png"
        assert Image.open(io.BytesIO(whole.content)).size == (64, 64)
        second = await anyone.get(made.data[1].url)
        assert second.content != whole.content
        for answer in (whole, second):
            assert shown(answer.content) == ("red", "circle", "white")
        part = await anyone.get(made.data[0].url, headers={"range": "bytes=0-7"})
        assert (part.status_code, part.content) == (206, b"\x89PNG\r\n\x1a\n")
        forged = made.data[0].url.replace("signature=", "signature=A")
        assert (await anyone.get(forged)).status_code == 403
    name = made.data[0].url.split("/media/")[1].split(".")[0]
    async with other.http() as theirs:
        assert (await theirs.get(f"/v1/media/{name}")).status_code == 404
        assert (await theirs.delete(f"/v1/media/{name}")).status_code == 404
    async with pro.http() as ours:
        assert (await ours.delete(f"/v1/media/{name}")).status_code == 200
    async with httpx.AsyncClient() as anyone:
        assert (await anyone.get(made.data[0].url)).status_code in (404, 410)


async def test_an_edit_keeps_what_the_mask_keeps(pro):
    mask = Image.new("RGBA", (64, 64), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (32, 0, 64, 64))
    hidden = io.BytesIO()
    mask.save(hidden, "PNG")
    async with pro.openai(**PATIENCE) as client:
        edited = await client.images.edit(
            model="starter-image",
            image=("in.png", picture((20, 30, 200)), "image/png"),
            mask=("mask.png", hidden.getvalue(), "image/png"),
            prompt="a yellow circle on a black background",
            response_format="b64_json",
        )
        with pytest.raises(openai.BadRequestError) as refusal:
            await client.images.edit(
                model="starter-image",
                image=("in.png", picture(), "image/png"),
                mask=("mask.png", picture(side=32), "image/png"),
                prompt="anything",
            )
    after = Image.open(io.BytesIO(base64.b64decode(edited.data[0].b64_json))).convert("RGB")
    red, _, blue = after.crop((2, 2, 26, 62)).resize((1, 1), Image.Resampling.BOX).tobytes()
    assert blue > 150 > red
    assert "mask" in str(refusal.value)


async def test_image_to_text_in_every_way(pro):
    url = data_url(picture((30, 160, 60)))
    async with pro.openai(**PATIENCE) as client:
        chat = await client.chat.completions.create(
            model="starter-vision",
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is the background?"},
                        {"type": "image_url", "image_url": {"url": url}},
                    ],
                }
            ],
        )
    assert "green" in chat.choices[0].message.content.lower()
    assert chat.usage.prompt_tokens > 0
    async with pro.http() as http:
        described = (await http.post("/v1/images/descriptions", json={"image": url})).json()
        older = await http.post("/api/image-to-text", json={"image": url})
        broken = await http.post("/v1/images/descriptions", json={"image": data_url(b"no picture")})
    assert "green" in described["text"].lower()
    assert older.json()["text"]
    assert broken.status_code == 400
    assert broken.json()["error"]["param"] == "image"


async def test_text_to_speech_to_text(pro):
    async with pro.openai(**PATIENCE) as client:
        spoken = await client.audio.speech.create(
            model="starter-speech",
            voice="alloy",
            input="seven red circle stop",
            response_format="wav",
        )
        heard = await client.audio.transcriptions.create(
            model="starter-transcribe",
            file=("said.wav", spoken.content, "audio/wav"),
            response_format="verbose_json",
            timestamp_granularities=["word"],
        )
        subtitles = await client.audio.transcriptions.create(
            model="starter-transcribe",
            file=("said.wav", spoken.content, "audio/wav"),
            response_format="srt",
        )
        with pytest.raises(openai.BadRequestError):
            await client.audio.transcriptions.create(
                model="starter-transcribe", file=("said.wav", b"RIFFnothing", "audio/wav")
            )
    words = heard.text.lower().split()
    assert sum(word in words for word in ("seven", "red", "circle", "stop")) >= 3
    assert heard.duration > 0.5
    assert heard.words
    assert "-->" in subtitles


async def test_speech_streams_in_every_format(pro):
    signs = {"mp3": (b"ID3", b"\xff\xfb", b"\xff\xf3"), "opus": (b"OggS",), "flac": (b"fLaC",)}
    async with pro.openai(**PATIENCE) as client:
        for kind, heads in signs.items():
            request = client.audio.speech.with_streaming_response.create(
                model="starter-speech",
                voice="alloy",
                input="One sentence. And another one.",
                response_format=kind,
            )
            async with request as response:
                data = b"".join([piece async for piece in response.iter_bytes()])
            assert data.startswith(heads), kind


async def test_fraud_rows_their_reasons_and_bad_ones(pro):
    row = {"amount": 5000, "amount_ratio": 30, "hour": 3, "foreign": True}
    async with pro.http() as http:
        schema = (await http.get("/openapi.json")).json()
        assert "/v1/fraud/analyses" in schema["paths"]
        one = await http.post("/analyze", json={"type": "transaction", "data": {"amount": 900}})
        wrong = await http.post(
            "/v1/fraud/analyses", json={"kind": "transaction", "features": row | {"amount": "x"}}
        )
        many = await http.post(
            "/v1/fraud/analyses",
            json={"kind": "transaction", "rows": [{"amount": n + 1} for n in range(10_000)]},
        )
        too_many = await http.post(
            "/v1/fraud/analyses",
            json={"kind": "transaction", "columns": {"amount": [1.0] * 100_001}},
        )
    assert 0 <= one.json()["fraud_score"] <= 1
    assert one.json()["reasons"]
    assert wrong.status_code == 400
    assert "amount" in wrong.json()["error"]["param"]
    assert len(many.json()["results"]) == many.json()["usage"]["rows"] == 10_000
    assert too_many.status_code == 400
    rows = await settled(pro, 2)
    assert sum(row["other_units"].count("rows") for row in rows) == 2


async def test_forecasts_risk_and_unknown_coins(pro):
    async with pro.http() as http:
        ahead = (await http.post("/v1/forecasts", json={"symbol": "BTC", "horizon": 7})).json()
        risk = (await http.get("/risk/ETH")).json()
        unknown = await http.post("/api/v1/crypto/predict", json={"symbol": "NOPE"})
        coins = (await http.get("/supported-coins")).json()
    steps = ahead["predictions"]
    assert [step["step"] for step in steps] == list(range(1, 8))
    assert all(step["lower"] < step["value"] < step["upper"] for step in steps)
    assert 0 < risk["value_at_risk"]["95"] < risk["value_at_risk"]["99"] < 1
    assert unknown.status_code in (400, 404)
    assert unknown.json()["error"]["param"] == "symbol"
    assert {"BTC", "ETH"} <= {coin["symbol"] for coin in coins["data"]}


async def test_the_cluster_tells_operators_what_it_sees(operator, pro):
    async with operator.http() as http:
        metrics = (await http.get("/v1/cluster/metrics")).json()
        decisions = (await http.get("/scaling-decision")).json()
    async with pro.http() as http:
        assert (await http.get("/v1/cluster/metrics")).status_code == 403
    assert metrics["nodes"][0]["resources"]["CPU"]["total"] >= 1
    models = {model["model"]: model for model in metrics["models"]}
    assert models["echo"]["running_replicas"] == 1
    assert "starter-image" in {entry["seen"]["application"] for entry in decisions["data"]}
