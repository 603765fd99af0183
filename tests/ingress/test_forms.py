"""Multipart bodies: what is read, what is refused, and that nothing is read without a limit."""

import httpx
import pytest

from ingress.application import Application
from ingress.endpoint import Endpoint
from ingress.forms import read_form
from ingress.responses import json_response


@pytest.fixture
async def client():
    async def read(exchange):
        form = await read_form(exchange, max_files=2)
        form.only("file")
        upload = form.file("file")
        return json_response(
            {"fields": form.document(), "name": upload.name, "size": len(upload.data)}
        )

    endpoint = Endpoint("POST", "/form", read, "A form", max_body_bytes=5_000_000)
    transport = httpx.ASGITransport(Application([endpoint], "test"), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_fields_lists_and_a_file_are_read(client):
    response = await client.post(
        "/form",
        data={"model": "m", "kinds[]": ["word", "segment"], "one[]": "x"},
        files={"file": ("a.wav", b"x" * 3_000_000, "audio/wav")},
    )
    assert response.json() == {
        "fields": {"model": "m", "kinds": ["word", "segment"], "one": ["x"]},
        "name": "a.wav",
        "size": 3_000_000,
    }


@pytest.mark.parametrize(
    ("files", "param"),
    [
        ({"other": ("a", b"x")}, "other"),
        ({"file": ("a", b"")}, "file"),
        ([("file", ("a", b"x")), ("file", ("b", b"y"))], "file"),
    ],
)
async def test_a_wrong_file_is_named(client, files, param):
    response = await client.post("/form", files=files)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


async def test_a_form_without_a_file_is_told_so(client):
    response = await client.post("/form", files={"model": (None, "m")})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "file")


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"", "multipart/form-data", 400),
        (b"no boundary in here", "multipart/form-data; boundary=x", 400),
        (
            b"--x\r\nContent-Disposition: form-data\r\n\r\nv\r\n--x--",
            "multipart/form-data; boundary=x",
            400,
        ),
        (b"x" * 5_000_001, "multipart/form-data; boundary=x", 413),
    ],
)
async def test_what_is_no_form_is_refused(client, content, kind, status):
    response = await client.post("/form", content=content, headers={"content-type": kind})
    assert response.status_code == status


async def test_too_many_parts_and_too_long_fields_are_refused(client):
    many = {f"f{number}": "x" for number in range(65)}
    response = await client.post("/form", data=many, files={"file": ("a", b"x")})
    assert response.status_code == 400
    response = await client.post("/form", data={"a": "x" * 1_100_000}, files={"file": ("a", b"x")})
    assert response.status_code == 400
    response = await client.post("/form", files=[("file", ("a", b"x"))] * 3)
    assert response.status_code == 400
