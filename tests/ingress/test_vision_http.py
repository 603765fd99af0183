"""Descriptions over HTTP: JSON, forms, the alias, streams, bad pictures; over fakes."""

import base64
import io
import struct
from typing import Any

import httpx
import orjson
import pytest
from PIL import Image

from auth.limits import Limits
from core.model import Chunk, ModelCard, Reply
from core.work import WorkUnits
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.fetch import FetchedMedia, MediaFetcher
from ingress.openai import OpenAI
from ingress.path import RequestPath
from ingress.remote_media import RemoteMedia
from ingress.vision import VisionEndpoints
from tests.fakes.dispatch import KEY, Salts, ScriptedDispatcher
from tests.ingress.test_http import error_of
from tests.ingress.test_path import PLANS, World

DESCRIBE = "/v1/images/descriptions"
ALIAS = "/api/image-to-text"
BODY = {
    "id": "imgdesc-1",
    "object": "image.description",
    "model": "seer",
    "task": "caption",
    "text": "a red circle",
    "usage": {"input_tokens": 70, "output_tokens": 5, "total_tokens": 75, "pixels": 0},
}


def encoded(kind="PNG", size=(10, 10)):
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, kind)
    return file.getvalue()


PNG, JPEG = encoded(), encoded("JPEG")
BASE64 = base64.b64encode(PNG).decode()
DATA_URL = f"data:image/png;base64,{BASE64}"


class SeeingDispatcher(ScriptedDispatcher):
    """Remembers the requests that reached it."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Any] = []
        self.reply = Reply(orjson.dumps(BODY), WorkUnits(input_tokens=70, output_tokens=5))

    async def answer(self, call, context):
        self.requests.append(call.request)
        return await super().answer(call, context)

    async def stream(self, call, context):
        self.requests.append(call.request)
        async for chunk in super().stream(call, context):
            yield chunk


class SeeingWorld(World):
    """A request path with such a dispatcher."""

    def __init__(self):
        super().__init__()
        seeing = SeeingDispatcher()
        self.requests = seeing.requests
        self.dispatcher = seeing
        self.path = RequestPath(
            self.identifier, self.admission, Limits(PLANS), seeing, Salts(), self.telemetry
        )


class OnePicture(MediaFetcher):
    """Knows one picture."""

    max_bytes = 1000

    def __init__(self):
        """No client, no limits."""

    async def fetch(self, url, param, families=(), max_bytes=None):
        assert (url, param, families) == ("https://example.com/a.png", "image", ("image",))
        return FetchedMedia(PNG, "image/png")


@pytest.fixture
def world():
    return SeeingWorld()


@pytest.fixture
async def client(world):
    card = ModelCard(
        id="seer", spec="deployments.vision:SPEC", context_window=300, max_output_tokens=50
    )
    catalog = Catalog([ModelCard(id="echo", spec="deployments.echo:SPEC"), card])
    parts = (OpenAI(world.path, catalog), VisionEndpoints(world.path, catalog))
    application = Application([e for part in parts for e in part.endpoints()], "test")
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers={"authorization": f"Bearer {KEY}"}
    ) as client:
        yield client


@pytest.mark.parametrize("image", [BASE64, DATA_URL, {"url": DATA_URL}])
async def test_a_picture_in_json_is_described_by_the_default_model(client, world, image):
    response = await client.post(DESCRIBE, json={"image": image})
    assert (response.status_code, response.json()) == (200, BODY)
    (request,) = world.requests
    assert (request.image, request.task) == (PNG, "caption")


async def test_a_form_is_the_same_request(client, world):
    response = await client.post(
        DESCRIBE,
        files={"image": ("a.png", PNG, "image/png")},
        data={"task": "question", "question": "What?", "max_tokens": "7", "model": "seer"},
    )
    assert response.status_code == 200
    (request,) = world.requests
    assert (request.image, request.task, request.question) == (PNG, "question", "What?")
    assert request.max_tokens == 7
    again = await client.post(
        DESCRIBE,
        json={
            "image": BASE64,
            "task": "question",
            "question": "What?",
            "max_tokens": 7,
            "model": "seer",
        },
    )
    assert again.headers["x-cache"] == "HIT"


async def test_what_was_done_is_billed(client, world):
    await client.post(DESCRIBE, json={"image": BASE64})
    assert world.used("tokens") == 75
    assert not world.admission.reservations


async def test_a_stream_is_relayed(client, world):
    world.dispatcher.chunks = [
        Chunk(b'event: image.description.delta\ndata: {"delta":"a"}\n\n', WorkUnits(1)),
        Chunk(b"event: image.description.done\ndata: {}\n\n", WorkUnits(1), last=True),
    ]
    response = await client.post(DESCRIBE, json={"image": BASE64, "stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.count("event: ") == 2


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "image"),
        ({"image": None}, "image"),
        ({"image": 7}, "image"),
        ({"image": "https://example.com/a.png"}, "image"),
        ({"image": {"url": "http://169.254.169.254/latest"}}, "image"),
        ({"image": "!!!"}, "image"),
        ({"image": base64.b64encode(b"hello").decode()}, "image"),
        ({"image": f"data:image/jpeg;base64,{BASE64}"}, "image"),
        ({"image": BASE64, "task": "paint"}, "task"),
        ({"image": BASE64, "task": "question"}, None),
        ({"image": BASE64, "question": "What?"}, None),
        ({"image": BASE64, "task": "question", "question": "x" * 9000}, "question"),
        ({"image": BASE64, "max_tokens": 0}, "max_tokens"),
        ({"image": BASE64, "detail": "high"}, "detail"),
        ({"image": BASE64, "model": "echo"}, "model"),
        ({"image": BASE64, "model": 7}, "model"),
    ],
)
async def test_bad_fields_are_named_and_cost_nothing(client, world, fields, param):
    response = await client.post(DESCRIBE, json=fields)
    assert response.status_code == 400
    assert error_of(response)["param"] == param
    assert not world.requests
    assert not world.admission.events


async def test_a_picture_by_url_is_fetched_by_the_gateway_where_it_may(world):
    card = ModelCard(id="seer", spec="deployments.vision:SPEC", context_window=300)
    vision = VisionEndpoints(world.path, Catalog([card]), RemoteMedia(OnePicture()))
    transport = httpx.ASGITransport(Application(vision.endpoints(), "test"))
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers=headers
    ) as client:
        for path in (DESCRIBE, ALIAS):
            answer = await client.post(path, json={"image": "https://example.com/a.png"})
            assert answer.status_code == 200
    assert {request.image for request in world.requests} == {PNG}


async def test_remote_pictures_are_refused_in_words(client):
    response = await client.post(DESCRIBE, json={"image": "https://example.com/a.png"})
    assert "not fetched" in error_of(response)["message"]


@pytest.mark.parametrize(
    "file",
    [
        ("a.png", b"", "image/png"),
        ("a.png", b"hello", "image/png"),
        ("a.png", JPEG, "image/png"),
        ("a.png", PNG[:10], "image/png"),
        ("a.svg", b"<svg/>", "image/svg+xml"),
    ],
)
async def test_bad_files_are_a_400_that_names_the_image(client, world, file):
    response = await client.post(DESCRIBE, files={"image": file})
    assert (response.status_code, error_of(response)["param"]) == (400, "image")
    assert not world.requests


async def test_a_form_needs_one_file_of_the_right_name(client):
    for files in (
        {"picture": ("a.png", PNG, "image/png")},
        [("image", ("a.png", PNG)), ("image", ("b.png", PNG))],
    ):
        response = await client.post(DESCRIBE, files=files)
        assert response.status_code == 400


async def test_a_bomb_is_refused_by_its_header_before_anything_is_reserved(client, world):
    size = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + size
    for sent in (
        {"json": {"image": base64.b64encode(bomb).decode()}},
        {"files": {"image": ("a.png", bomb, "image/png")}},
    ):
        response = await client.post(DESCRIBE, **sent)
        assert (response.status_code, error_of(response)["param"]) == (400, "image")
        assert "50000 x 50000 pixels" in error_of(response)["message"]
    assert not world.admission.events


async def test_a_body_over_the_limit_is_a_413(client):
    response = await client.post(
        DESCRIBE, content=b"x" * (29 * 2**20), headers={"content-type": "application/json"}
    )
    assert (response.status_code, error_of(response)["code"]) == (413, "body_too_large")


async def test_without_a_key_nothing_is_read(client):
    del client.headers["authorization"]
    response = await client.post(DESCRIBE, json={"image": BASE64})
    assert response.status_code == 401


@pytest.mark.parametrize("name", ["file", "image"])
async def test_the_alias_takes_a_form(client, world, name):
    response = await client.post(ALIAS, files={name: ("a.png", PNG, "image/png")})
    answer = response.json()
    assert (answer["text"], answer["model"], answer["cached"]) == ("a red circle", "seer", False)
    assert world.requests[0].task == "caption"


async def test_the_alias_takes_json_and_its_prompt_is_a_question(client, world):
    response = await client.post(ALIAS, json={"image": DATA_URL, "prompt": "What colour?"})
    assert response.json()["text"] == "a red circle"
    assert (world.requests[0].task, world.requests[0].question) == ("question", "What colour?")


@pytest.mark.parametrize(
    "fields", [{}, {"image": "x"}, {"image": BASE64, "style": "x"}, {"image": BASE64, "prompt": 7}]
)
async def test_the_alias_refuses_bad_fields(client, world, fields):
    assert (await client.post(ALIAS, json=fields)).status_code == 400
    assert not world.requests


async def test_the_sdk_sends_pictures_to_a_vision_model_by_its_chat(client, world):
    from openai import AsyncOpenAI

    world.dispatcher.reply = Reply(
        orjson.dumps(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": "seer",
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": "red"},
                        "finish_reason": "stop",
                    }
                ],
            }
        )
    )
    sdk = AsyncOpenAI(api_key=KEY, base_url="http://test/v1", http_client=client)
    parts: list[Any] = [
        {"type": "text", "text": "What colour?"},
        {"type": "image_url", "image_url": {"url": DATA_URL}},
    ]
    answer = await sdk.chat.completions.create(
        model="seer", messages=[{"role": "user", "content": parts}]
    )
    assert answer.choices[0].message.content == "red"
    assert world.dispatcher.calls[0].reserved.input_tokens == 300
