"""Images over HTTP: every path and form, and every kind of bad picture.

The dispatcher judges uploads as the model does, then answers with a plain picture.
"""

import base64
import io
import json
import struct
import zlib

import httpx
import numpy as np
import pytest
from PIL import Image as Pillow

from core.errors import StorageFull
from core.images import ImageEditRequest, ImageVariationRequest
from core.model import CallContext, Chunk, ModelCard, Reply
from core.styles import styles
from core.work import WorkUnits
from deployments.image_uploads import original_of
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.images import MAX_UPLOAD_BYTES, Images
from tests.fakes.dispatch import KEY, NothingUnheard
from tests.ingress.test_path import World

GENERATE, EDIT, VARY = (f"/v1/images/{what}" for what in ("generations", "edits", "variations"))
PLAIN = np.full((64, 64, 3), 200, np.uint8)


def png(pixels=PLAIN, kind="PNG", **options):
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def b64(data):
    return base64.b64encode(data).decode()


def bomb(width=60_000, height=60_000):
    """A valid header that promises gigabytes."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = (
        chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(2**20))) + chunk(b"IEND", b"")
    )
    return b"\x89PNG\r\n\x1a\n" + body


class Studio(NothingUnheard):
    """Keeps what it was asked and answers with one picture of one colour."""

    def __init__(self):
        self.calls = []
        self.units = WorkUnits(pixel_steps=81_920)

    async def answer(self, call, context: CallContext):
        self.calls.append(call)
        self._judge(call.request)
        request = call.request
        item = {"b64_json": b64(png(kind=request.output_format.upper())), "seed": 5}
        body = {
            "created": 1,
            "data": [item] * request.n,
            "model": "starter-image",
            "output_format": request.output_format,
            "size": "64x64",
            "usage": {"pixel_steps": self.units.pixel_steps},
        }
        return Reply(json.dumps(body).encode(), self.units)

    async def stream(self, call, context: CallContext):
        self.calls.append(call)
        self._judge(call.request)
        yield Chunk(b'event: image_generation.completed\ndata: {"b64_json":"x"}\n\n', self.units)
        yield Chunk(b"", self.units, last=True)

    def _judge(self, request):
        if isinstance(request, ImageEditRequest):
            original_of(request.image, request.mask)
        if isinstance(request, ImageVariationRequest):
            original_of(request.image)


class Shelf:
    """A media store that remembers."""

    def __init__(self):
        self.published = []
        self.full = False

    async def require_room(self, principal):
        if self.full:
            raise StorageFull("the plan's storage is full")

    async def publish(self, principal, data, media_type, origin=""):
        self.published.append((principal.tenant_id, data, media_type))
        return f"{origin}/media/{len(self.published)}"


class Gallery(World):
    """A request path in front of a studio, and a shelf for what it makes."""

    def __init__(self):
        super().__init__()
        self.shelf = Shelf()
        self.studio = Studio()
        self.path._dispatcher = self.studio


@pytest.fixture
def world():
    return Gallery()


def application(world, publisher):
    catalog = Catalog(
        [
            ModelCard(id="echo", spec="deployments.echo:SPEC"),
            ModelCard(id="starter-image", spec="deployments.image:SPEC", aliases=("dall-e-2",)),
        ]
    )
    return Application(Images(world.path, catalog, publisher).endpoints(), "test")


def connect(app):
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False),
        base_url="http://test",
        headers={"authorization": f"Bearer {KEY}"},
    )


@pytest.fixture
async def client(world):
    async with connect(application(world, world.shelf)) as client:
        yield client


@pytest.fixture
async def storeless(world):
    async with connect(application(world, None)) as client:
        yield client


def error_of(response):
    error = response.json()["error"]
    assert set(error) - {"carillon"} == {"message", "type", "param", "code"}
    assert "Traceback" not in response.text
    return error


def upload(data=None, name="a.png", kind="image/png"):
    return (name, png() if data is None else data, kind)


async def test_a_prompt_becomes_a_picture_and_is_billed(client, world):
    response = await client.post(GENERATE, json={"prompt": "a red circle"})
    assert response.status_code == 200
    (item,) = response.json()["data"]
    assert Pillow.open(io.BytesIO(base64.b64decode(item["b64_json"]))).size == (64, 64)
    settled = world.admission.events[-1]
    assert (settled.kind, settled.units) == ("settled", world.studio.units)


async def test_the_model_may_be_named_by_alias_and_not_by_a_family_that_cannot_draw(client):
    fields = {"prompt": "x"}
    assert (await client.post(GENERATE, json=fields | {"model": "dall-e-2"})).status_code == 200
    response = await client.post(GENERATE, json=fields | {"model": "echo"})
    assert (response.status_code, error_of(response)["param"]) == (400, "model")


async def test_nulls_of_openais_clients_mean_the_default(client, world):
    fields = dict.fromkeys(("n", "size", "quality", "response_format", "style", "user", "stream"))
    assert (await client.post(GENERATE, json={"prompt": "x"} | fields)).status_code == 200
    assert world.studio.calls[0].request.n == 1


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": "x" * 32_001}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": "x", "n": 0}, "n"),
        ({"prompt": "x", "n": 11}, "n"),
        ({"prompt": "x", "size": "big"}, "size"),
        ({"prompt": "x", "size": "65x64"}, "size"),
        ({"prompt": "x", "size": "8x8"}, "size"),
        ({"prompt": "x", "size": "99999x99999"}, "size"),
        ({"prompt": "x", "size": "4096x64"}, "size"),
        ({"prompt": "x", "steps": 101}, "steps"),
        ({"prompt": "x", "guidance": -1}, "guidance"),
        ({"prompt": "x", "seed": -1}, "seed"),
        ({"prompt": "x", "style": "nope"}, "style"),
        ({"prompt": "x", "output_format": "gif"}, "output_format"),
        ({"prompt": "x", "background": "transparent"}, "background"),
        ({"prompt": "x", "response_format": "bytes"}, "response_format"),
        ({"prompt": "x", "control_image": "%%%"}, "control_image"),
        ({"prompt": "x", "control_image": "https://example.com/a.png"}, "control_image"),
        ({"prompt": "x", "sampler": "magic"}, "sampler"),
    ],
)
async def test_bad_fields_are_refused_by_name_and_not_charged(client, world, fields, param):
    response = await client.post(GENERATE, json=fields)
    assert response.status_code == 400
    assert error_of(response)["param"] == param
    assert world.admission.events == []


async def test_a_seed_makes_an_answer_repeatable_and_its_absence_fresh(client, world):
    verdicts = []
    for fields in ({"seed": 1}, {"seed": 1}, {}, {}):
        response = await client.post(GENERATE, json={"prompt": "x"} | fields)
        verdicts.append(response.headers.get("x-cache"))
        world.admission.counters.clear()
    assert verdicts == ["MISS", "HIT", "BYPASS", "BYPASS"]
    assert len(world.studio.calls) == 3


async def test_urls_lead_to_the_callers_own_media(client, world):
    body = {"prompt": "x", "n": 2, "response_format": "url", "output_format": "webp"}
    response = await client.post(GENERATE, json=body)
    urls = [item["url"] for item in response.json()["data"]]
    assert urls == ["http://test/media/1", "http://test/media/2"]
    assert [kept[0] for kept in world.shelf.published] == ["t", "t"]
    assert {kept[2] for kept in world.shelf.published} == {"image/webp"}
    assert "b64_json" not in response.text


async def test_a_full_shelf_is_said_before_the_work(client, world):
    world.shelf.full = True
    response = await client.post(GENERATE, json={"prompt": "x", "response_format": "url"})
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "storage_quota_exceeded"
    assert not world.studio.calls


async def test_a_cached_answer_gets_urls_of_its_own(client, world):
    body = {"prompt": "x", "seed": 1, "response_format": "url"}
    urls = [(await client.post(GENERATE, json=body)).json()["data"][0]["url"] for _ in range(2)]
    assert urls == ["http://test/media/1", "http://test/media/2"]
    assert len(world.studio.calls) == 1


async def test_urls_without_a_store_are_refused_before_any_work(storeless, world):
    response = await storeless.post(GENERATE, json={"prompt": "x", "response_format": "url"})
    assert (response.status_code, error_of(response)["param"]) == (400, "response_format")
    assert world.studio.calls == []


async def test_a_stream_is_relayed(client):
    response = await client.post(GENERATE, json={"prompt": "x", "stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert "image_generation.completed" in response.text


async def test_an_edit_by_form_reaches_the_model(client, world):
    response = await client.post(
        EDIT,
        data={"prompt": "a star", "n": "2", "strength": "0.5", "seed": "4"},
        files={"image": upload(), "mask": upload(png(np.full((64, 64), 255, np.uint8)))},
    )
    assert response.status_code == 200
    assert len(response.json()["data"]) == 2
    request = world.studio.calls[0].request
    assert (request.prompt, request.strength, request.image.data) == ("a star", 0.5, png())


async def test_the_sdks_list_of_one_image_is_the_image(client):
    response = await client.post(EDIT, data={"prompt": "x"}, files={"image[]": upload()})
    assert response.status_code == 200


async def test_an_edit_by_json_takes_base64_and_data_urls(client):
    for image in (b64(png()), "data:image/png;base64," + b64(png())):
        response = await client.post(EDIT, json={"prompt": "x", "image": image})
        assert response.status_code == 200


async def test_the_same_edit_is_answered_from_the_cache_and_another_picture_is_not(client, world):
    verdicts = []
    for data in (png(), png(), png(PLAIN // 2)):
        form = {"prompt": "x", "seed": "1"}
        response = await client.post(EDIT, data=form, files={"image": upload(data)})
        verdicts.append(response.headers["x-cache"])
        world.admission.counters.clear()
    assert verdicts == ["MISS", "HIT", "MISS"]


async def test_variations_take_a_picture_alone(client):
    response = await client.post(VARY, data={"n": "2"}, files={"image": upload()})
    assert len(response.json()["data"]) == 2


BAD_FILES = {
    "text": upload(b"hello"),
    "empty": upload(b""),
    "truncated": upload(png()[:60]),
    "mislabelled": upload(png(kind="JPEG"), "a.png", "image/png"),
    "svg": upload(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a.svg", "image/svg+xml"),
    "bomb": upload(bomb()),
    "small bomb": upload(bomb(8_000, 8_000)),
    "tiff": upload(png(kind="TIFF"), "a.tif", "image/tiff"),
}


@pytest.mark.parametrize("path", [EDIT, VARY, "/api/image-to-image"])
@pytest.mark.parametrize("kind", BAD_FILES)
async def test_bad_pictures_are_refused_by_name_and_wake_nobody(client, world, path, kind):
    form = {} if path == VARY else {"prompt": "x"}
    response = await client.post(path, data=form, files={"image": BAD_FILES[kind]})
    assert (response.status_code, error_of(response)["param"]) == (400, "image")
    assert kind == "truncated" or not world.studio.calls


async def test_a_mask_of_another_size_is_refused(client):
    files = {"image": upload(), "mask": upload(png(np.full((32, 64), 255, np.uint8)))}
    response = await client.post(EDIT, data={"prompt": "x"}, files=files)
    assert (response.status_code, error_of(response)["param"]) == (400, "mask")
    assert "64 x 32" in error_of(response)["message"]


@pytest.mark.parametrize(
    ("form", "files", "param"),
    [
        ({"prompt": "x"}, {"mask": upload()}, "image"),
        ({"prompt": "x"}, [("image[]", upload()), ("image[]", upload())], "image"),
        ({"prompt": "x"}, {"image": upload(), "other": upload()}, "other"),
        ({}, {"image": upload()}, "prompt"),
        ({"prompt": "x", "strength": "2"}, {"image": upload()}, "strength"),
        ({"prompt": "x", "strength": "much"}, {"image": upload()}, "strength"),
        ({"prompt": "x", "image": "nope!"}, {"mask": upload()}, "image"),
    ],
)
async def test_bad_forms_are_refused_by_name(client, form, files, param):
    response = await client.post(EDIT, data=form, files=files)
    assert (response.status_code, error_of(response)["param"]) == (400, param)


async def test_a_body_over_the_limit_is_not_read(client):
    response = await client.post(
        EDIT,
        content=b"x",
        headers={
            "content-type": "multipart/form-data; boundary=b",
            "content-length": str(MAX_UPLOAD_BYTES + 1),
        },
    )
    assert (response.status_code, error_of(response)["code"]) == (413, "body_too_large")


async def test_without_a_key_nothing_is_drawn(client, world):
    for path in (GENERATE, EDIT, VARY, "/api/text-to-image"):
        response = await client.post(path, json={"prompt": "x"}, headers={"authorization": ""})
        assert response.status_code == 401
    assert (await client.get("/v1/images/styles", headers={"authorization": ""})).status_code == 401
    assert world.studio.calls == []


async def test_styles_are_listed_and_taken(client):
    listed = (await client.get("/v1/images/styles")).json()
    assert listed["object"] == "list"
    assert [row["id"] for row in listed["data"]] == list(styles())
    assert (await client.get("/styles")).json() == {"styles": list(styles())}
    style = listed["data"][0]["id"]
    assert (await client.post(GENERATE, json={"prompt": "x", "style": style})).status_code == 200


@pytest.mark.parametrize("path", ["/api/text-to-image", "/api/v1/generate/image"])
async def test_older_paths_answer_flat(client, world, path):
    body = {"prompt": "a red circle", "style": "anime", "size": "128x128"}
    response = await client.post(path, json=body)
    flat = response.json()
    assert flat["success"] is True
    assert Pillow.open(io.BytesIO(base64.b64decode(flat["image"]))).size == (64, 64)
    assert (flat["prompt"], flat["style"], flat["model"]) == (
        "a red circle",
        "anime",
        "starter-image",
    )
    assert world.studio.calls[0].request.styled_prompt.startswith("a red circle, anime")


async def test_older_paths_refuse_what_they_do_not_know(client):
    response = await client.post("/api/text-to-image", json={"prompt": "x", "steps": 3})
    assert (response.status_code, error_of(response)["param"]) == (400, "steps")


async def test_the_older_edit_takes_a_form_and_answers_flat(client):
    response = await client.post(
        "/api/image-to-image",
        data={"prompt": "x", "response_format": "url"},
        files={"image": upload()},
    )
    assert response.json()["image_url"] == "http://test/media/1"
