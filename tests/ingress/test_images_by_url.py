"""Pictures that image requests give by URL: fetched by the gateway, from a real server here."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import pytest

from core.model import ModelCard
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.fetch import FetchSettings, MediaFetcher
from ingress.images import Images
from ingress.openai import OpenAI
from ingress.outbound import UNREACHABLE
from ingress.remote_media import RemoteMedia
from tests.fakes.dispatch import OneKeyIdentifier, principal
from tests.ingress.test_images_http import (
    EDIT,
    GENERATE,
    PLAIN,
    VARY,
    Gallery,
    b64,
    connect,
    error_of,
    png,
    upload,
)
from tests.ingress.whole_gateway import whole_gateway

OLDER = "/api/image-to-image"
ANY = "/v1/models/starter-image/"
ANY_EDIT, ANY_VARY, ANY_GENERATE = ANY + "edit", ANY + "variation", ANY + "generate"
VARYING = (VARY, ANY_VARY)
WHITE = png(np.full((64, 64), 255, np.uint8))
DARK = png(PLAIN // 4)
DATA_URL = "data:image/png;base64," + b64(png())
ANYWHERE = FetchSettings(allow_private_media_urls=True)
"""The server of these tests is not on the public internet."""


@dataclass
class Site:
    """A web server. `answers` by path; others are not found."""

    answers: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    port: int = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def serve(self, reader, writer):
        path = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ")[1]
        self.asked.append(path)
        body = self.answers.get(path)
        status = "404 Not Found" if body is None else "200 OK"
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body or b'')}\r\n\r\n"
        writer.write(head.encode() + (body or b""))
        await writer.drain()
        writer.close()


@pytest.fixture
def world():
    return Gallery()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site({"/a.png": png(), "/mask.png": WHITE, "/control.png": DARK, "/page": b"<html>"})
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    yield site
    server.close()


@asynccontextmanager
async def fetching(world: Gallery, settings: FetchSettings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of image endpoints that fetch within `settings`."""
    fetcher = MediaFetcher(settings)
    catalog = Catalog([ModelCard(id="starter-image", spec="deployments.image:SPEC")])
    remote = RemoteMedia(fetcher)
    images = Images(world.path, catalog, world.shelf, remote)
    by_name = OpenAI(world.path, catalog, remote)
    table = [*images.endpoints(), *by_name.endpoints()]
    async with connect(Application(table, "test")) as client:
        yield client
    await fetcher.aclose()


@pytest.fixture
async def client(world):
    async with fetching(world, ANYWHERE) as client:
        yield client


def refused(response: httpx.Response, param: str) -> str:
    """What a refusal says."""
    error = error_of(response)
    assert (response.status_code, error["param"]) == (400, param)
    return str(error["message"])


def asking(path: str, **pictures) -> dict[str, object]:
    return pictures if path in VARYING else {"prompt": "x"} | pictures


@pytest.mark.parametrize("path", [EDIT, VARY, OLDER, ANY_EDIT, ANY_VARY])
async def test_a_picture_by_url_reaches_the_model_as_bytes(client, world, site, path):
    url = site.url("/a.png")
    for image in (url, {"url": url}):
        response = await client.post(path, json=asking(path, image=image))
        assert response.status_code == 200
    assert [call.request.image.data for call in world.studio.calls] == [png()] * 2
    assert site.asked == ["/a.png"] * 2


@pytest.mark.parametrize(("edits", "drawings"), [(EDIT, GENERATE), (ANY_EDIT, ANY_GENERATE)])
async def test_masks_and_control_pictures_are_fetched_too(client, world, site, edits, drawings):
    mask, control = site.url("/mask.png"), site.url("/control.png")
    edit = {"prompt": "x", "image": site.url("/a.png"), "mask": mask, "control_image": control}
    assert (await client.post(edits, json=edit)).status_code == 200
    drawing = {"prompt": "x", "control_image": control}
    assert (await client.post(drawings, json=drawing)).status_code == 200
    edited, drawn = (call.request for call in world.studio.calls)
    assert (edited.image.data, edited.mask.data) == (png(), WHITE)
    assert edited.control_image.data == drawn.control_image.data == DARK


async def test_a_form_may_point_to_a_picture_beside_its_file(client, world, site):
    form = {"prompt": "x", "mask": site.url("/mask.png")}
    response = await client.post(EDIT, data=form, files={"image": upload()})
    assert response.status_code == 200
    assert world.studio.calls[0].request.mask.data == WHITE


async def test_data_urls_may_be_in_an_object_as_well(client, world):
    response = await client.post(EDIT, json={"prompt": "x", "image": {"url": DATA_URL}})
    assert response.status_code == 200
    assert world.studio.calls[0].request.image.data == png()


@pytest.mark.parametrize("path", [EDIT, ANY_EDIT])
@pytest.mark.parametrize("name", ["image", "mask", "control_image"])
async def test_a_url_that_is_no_picture_is_refused_by_name_and_not_charged(
    client, world, site, name, path
):
    fields = {"prompt": "x", "image": DATA_URL} | {name: site.url("/page")}
    response = await client.post(path, json=fields)
    assert "this is no image" in refused(response, name)
    assert not world.studio.calls
    assert not world.admission.events


async def test_what_is_not_there_is_refused_by_its_place(client, site):
    body = {"prompt": "x", "image": {"url": site.url("/missing.png")}}
    assert "answered 404" in refused(await client.post(EDIT, json=body), "image.url")


@pytest.mark.parametrize("path", [EDIT, VARY, OLDER, ANY_EDIT, ANY_VARY])
async def test_private_addresses_are_refused_like_unknown_ones(world, site, path):
    async with fetching(world, FetchSettings()) as client:
        for url in (site.url("/a.png"), "http://169.254.169.254/latest"):
            response = await client.post(path, json=asking(path, image=url))
            assert UNREACHABLE in refused(response, "image")
    assert not site.asked
    assert not world.studio.calls


async def test_what_one_request_fetches_is_limited_in_all(world, site):
    settings = FetchSettings(allow_private_media_urls=True, max_bytes=len(png()) + 10)
    async with fetching(world, settings) as client:
        body = {"prompt": "x", "image": site.url("/a.png"), "mask": site.url("/mask.png")}
        assert "over the limit" in refused(await client.post(EDIT, json=body), "mask")


@pytest.mark.parametrize("path", [EDIT, VARY, OLDER, ANY_EDIT, ANY_VARY])
async def test_nothing_is_fetched_for_callers_who_may_not_ask(client, world, site, path):
    body = asking(path, image=site.url("/a.png"))
    for key in ("", "Bearer ck-another"):
        response = await client.post(path, json=body, headers={"authorization": key})
        assert response.status_code == 401
    world.path._identifier = OneKeyIdentifier(principal(scopes=frozenset()))
    assert (await client.post(path, json=body)).status_code == 403
    assert not site.asked


async def test_nothing_is_fetched_for_fields_that_an_operation_does_not_have(client, site):
    response = await client.post(VARY, json={"image": DATA_URL, "mask": site.url("/mask.png")})
    refused(response, "mask")
    assert not site.asked


async def test_another_picture_at_the_same_url_is_not_answered_from_the_cache(client, world, site):
    verdicts = []
    for data in (png(), png(), DARK):
        site.answers["/a.png"] = data
        body = {"prompt": "x", "seed": 1, "image": site.url("/a.png")}
        verdicts.append((await client.post(EDIT, json=body)).headers["x-cache"])
        world.admission.counters.clear()
    assert verdicts == ["MISS", "HIT", "MISS"]


async def test_nothing_is_fetched_for_operations_that_a_model_does_not_have(client, site):
    response = await client.post(ANY + "describe", json={"image": site.url("/a.png")})
    refused(response, "model")
    assert not site.asked


GATEWAY_PATHS = [
    (path, "image", {"image": ...})
    for path in (
        EDIT,
        VARY,
        OLDER,
        ANY_EDIT,
        ANY_VARY,
        "/v1/images/descriptions",
        "/api/image-to-text",
        "/v1/models/starter-vision/describe",
    )
] + [
    ("/v1/models/starter-video/animate", "input_reference", {"input_reference": ...}),
    ("/v1/models/image-workflow/image_workflow", "images.0", {"images": [...]}),
    (
        "/v1/models/image-workflow/image_workflow",
        "generate.control_image",
        {"generate": {"control_image": ...}},
    ),
]
"""Every path that takes a picture, the field's name in errors, and a request; `...` is a URL."""


def pointing(fields: Any, url: str) -> Any:
    """`fields` with `url` where a picture goes."""
    if isinstance(fields, dict):
        return {name: pointing(value, url) for name, value in fields.items()}
    if isinstance(fields, list):
        return [pointing(value, url) for value in fields]
    return url


async def test_the_gateway_fetches_for_every_path_that_takes_a_picture_and_none_in_private(
    database_url, valkey_server, tmp_path, site
):
    async with (
        whole_gateway(database_url, valkey_server.url, tmp_path) as whole,
        whole.world.client((await whole.world.owner())["access_token"]) as client,
    ):
        for path, param, fields in GATEWAY_PATHS:
            response = await client.post(path, json=pointing(fields, site.url("/a.png")))
            assert UNREACHABLE in refused(response, param), path
    assert not site.asked
