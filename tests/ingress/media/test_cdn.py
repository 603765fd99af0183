"""`deploy/nginx.conf` as a real nginx runs it; without nginx, what the file says."""

import asyncio
import os
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn

from core.settings import ROOT
from tests.ingress.media.conftest import Media, png

CONFIG = ROOT / "deploy" / "nginx.conf"
NGINX = shutil.which("nginx")
PIECE = 2**20
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


def location(start: str) -> str:
    """The body of a location block."""
    text = CONFIG.read_text()
    head = text.index(f"location {start}")
    depth, place = 0, text.index(" {\n", head)
    for match in re.finditer(r" \{\n|\n *\}", text[place:]):
        depth += 1 if "{" in match.group() else -1
        if not depth:
            return text[place : place + match.end()]
    raise AssertionError(f"the block of {start} does not end")


def test_every_block_of_the_file_ends():
    text = re.sub(r'#.*|"[^"]*"', "", CONFIG.read_text())
    assert text.count("{") == text.count("}")
    assert all(line.endswith((";", "{", "}", "'")) or "proxy_cache_path" in line
               for line in map(str.strip, text.splitlines()) if line)  # fmt: skip


def test_media_are_kept_by_their_whole_signed_url_and_asked_for_again():
    block = location('~ "^/media/')
    for line in (
        "proxy_cache media;",
        "proxy_cache_key $uri$is_args$args$slice_range;",
        "proxy_set_header Range $slice_range;",
        "proxy_cache_revalidate on;",
        "proxy_cache_use_stale off;",
    ):
        assert line in block


def test_the_api_is_not_kept_and_not_held_back():
    block = location("/ {")
    assert "proxy_cache off;" in block
    assert "proxy_buffering off;" in block
    assert not re.search(r"proxy_cache [^o]", block)


def test_queries_are_not_logged():
    formats = re.findall(r"log_format .*?;", CONFIG.read_text(), re.DOTALL)
    assert formats
    assert not re.search(r"\$(request\b(?!_)|request_uri|args|query_string)", "".join(formats))


@dataclass
class Cdn:
    """nginx in front of the gateway's media routes."""

    client: httpx.AsyncClient
    media: Media
    origin: list[tuple[str, str, int, str]] = field(default_factory=list)
    """What reached the gateway: method, path, status and range."""

    def whole(self, path: str) -> str:
        return urlsplit(path)._replace(scheme="", netloc="").geturl()

    async def until(self, url: str, **wanted: object) -> httpx.Response:
        """Ask until the answer is as wanted: nginx keeps copies for a second of real time."""
        while True:
            response = await self.client.get(url)
            state = {
                "status": response.status_code,
                "cache": response.headers.get("x-cdn-cache"),
            }
            if wanted.items() <= state.items():
                return response
            await asyncio.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def config_for(directory: Path, origin_port: int, port: int) -> Path:
    """The shipped file with this machine's ports and directories."""
    text = CONFIG.read_text()
    for old, new in (
        ("server 127.0.0.1:8000;", f"server 127.0.0.1:{origin_port};"),
        ("listen 8080;", f"listen 127.0.0.1:{port};"),
        ("/var/log/nginx", str(directory)),
        ("/var/cache/nginx", str(directory)),
        ("worker_processes auto;", f"worker_processes 1; pid {directory}/pid; daemon off;"),
    ):
        assert old in text
        text = text.replace(old, new)
    if os.geteuid() == 0:
        text = "user root;\n" + text
    temporary = "".join(
        f"{kind}_temp_path {directory}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = text.replace("http {\n", "http {\n" + temporary, 1)
    path = directory / "nginx.conf"
    path.write_text(text)
    return path


@needs_nginx
def test_nginx_takes_the_file(tmp_path):
    config = config_for(tmp_path, 8000, 8080)
    checked = subprocess.run(
        [NGINX or "", "-t", "-p", tmp_path, "-c", config, "-e", tmp_path / "error"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert "warn" not in checked.stderr


@pytest.fixture
async def cdn(media: Media, tmp_path: Path) -> AsyncIterator[Cdn]:
    origin_port, port = free_port(), free_port()
    found: list[tuple[str, str, int, str]] = []

    async def origin(scope, receive, send):
        async def noted(message):
            if message["type"] == "http.response.start" and scope["type"] == "http":
                asked = dict(scope["headers"]).get(b"range", b"").decode()
                found.append((scope["method"], scope["path"], message["status"], asked))
            await send(message)

        await media.application(scope, receive, noted)

    server = uvicorn.Server(uvicorn.Config(origin, port=origin_port, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    config = config_for(tmp_path, origin_port, port)
    nginx = await asyncio.create_subprocess_exec(
        NGINX or "", "-p", tmp_path, "-c", config, "-e", tmp_path / "error"
    )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        await until_up(client)
        found.clear()
        yield Cdn(client, media, found)
    nginx.terminate()
    await nginx.wait()
    server.should_exit = True
    await serving


async def until_up(client: httpx.AsyncClient) -> None:
    """Until nginx answers, and the gateway behind it."""
    while True:
        try:
            if (await client.get("/v1/media")).status_code == 401:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.02)


@pytest.fixture
async def tenant(media: Media) -> str:
    return await media.tenant("open")


@needs_nginx
async def test_the_second_reader_is_answered_without_the_gateway(cdn, tenant):
    data = png(2 * PIECE + 500)
    url = await cdn.media.publish(tenant, data)
    assert (await cdn.client.get(url)).content == data
    assert len(cdn.origin) == 3, "three pieces"
    again = await cdn.client.get(url)
    assert (again.content, again.headers["x-cdn-cache"]) == (data, "HIT")
    part = await cdn.client.get(url, headers={"range": f"bytes={PIECE - 5}-{PIECE + 4}"})
    assert (part.status_code, part.content) == (206, data[PIECE - 5 : PIECE + 5])
    same = await cdn.client.get(url, headers={"if-none-match": again.headers["etag"]})
    assert same.status_code == 304
    head = await cdn.client.head(url)
    assert head.headers["content-length"] == str(len(data))
    assert len(cdn.origin) == 3


@needs_nginx
async def test_a_range_of_something_long_fetches_its_pieces_only(cdn, tenant):
    data = png(5 * PIECE)
    url = await cdn.media.publish(tenant, data)
    start = 3 * PIECE + 10
    part = await cdn.client.get(url, headers={"range": f"bytes={start}-{start + 9}"})
    assert (part.status_code, part.content) == (206, data[start : start + 10])
    assert part.headers["content-range"] == f"bytes {start}-{start + 9}/{len(data)}"
    assert [asked for *_, asked in cdn.origin] == [f"bytes={3 * PIECE}-{4 * PIECE - 1}"]
    behind = await cdn.client.get(url, headers={"range": f"bytes={len(data)}-"})
    assert behind.status_code == 416


@needs_nginx
async def test_a_kept_copy_is_not_given_to_other_signatures(cdn, tenant):
    url = await cdn.media.publish(tenant, png())
    assert (await cdn.client.get(url)).status_code == 200
    for other in (
        url[:-3],
        url + "&x=1",
        url.partition("?")[0],
        url.replace("expires=1", "expires=2"),
    ):
        for _ in range(2):
            refused = await cdn.client.get(other)
            assert refused.status_code == 403
            assert refused.headers.get("x-cdn-cache") != "HIT"


def nearly_expired(media: Media, url: str) -> None:
    """Let one second be left: nginx may keep a copy for that long."""
    expires = int(re.findall(r"expires=(\d+)", url)[0])
    media.clock.now = expires - 1


@needs_nginx
async def test_a_copy_is_asked_for_again_and_no_bytes_travel(cdn, tenant):
    data = png()
    url = await cdn.media.publish(tenant, data)
    nearly_expired(cdn.media, url)
    assert (await cdn.client.get(url)).headers["x-cdn-cache"] == "MISS"
    again = await cdn.until(url, cache="REVALIDATED")
    assert again.content == data
    assert cdn.origin[-1][2] == 304


@needs_nginx
async def test_an_expired_url_ends_here_too(cdn, tenant):
    url = await cdn.media.publish(tenant, png())
    nearly_expired(cdn.media, url)
    assert (await cdn.client.get(url)).status_code == 200
    cdn.media.clock.now += 1
    await cdn.until(url, status=403)


@needs_nginx
async def test_a_deletion_reaches_the_cache(cdn, tenant):
    url = await cdn.media.publish(tenant, png())
    nearly_expired(cdn.media, url)
    assert (await cdn.client.get(url)).status_code == 200
    await cdn.media.store.delete(tenant, url[7:71])
    await cdn.until(url, status=404)


@needs_nginx
async def test_the_api_passes_through_unkept(cdn, tenant):
    key = {"authorization": f"Bearer {tenant}"}
    item = (await cdn.client.post("/v1/media", content=png(), headers=key)).json()
    assert item["url"].startswith(f"http://127.0.0.1:{cdn.client.base_url.port}/media/")
    cdn.origin.clear()
    for _ in range(2):
        listed = await cdn.client.get("/v1/media", headers=key)
        assert "x-cdn-cache" not in listed.headers
    assert len(cdn.origin) == 2
    assert (await cdn.client.request("POST", "/media/" + "a" * 64 + ".png")).status_code == 403
    assert (await cdn.client.get("/media/../../etc/passwd")).status_code in (400, 404)
