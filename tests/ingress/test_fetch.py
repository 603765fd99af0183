"""Media by URL: public hosts only, by the address that was checked, within limits."""

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpcore
import httpx
import pytest

from core.errors import InvalidRequest
from ingress.addresses import is_public
from ingress.fetch import MAX_REDIRECTS, FetchSettings, MediaFetcher

PNG = b"\x89PNG\r\n\x1a\n" + bytes(2000)
WAV = b"RIFF\0\0\0\0WAVEfmt " + bytes(100)
PUBLIC = "93.184.216.34"
LIMIT = 10_000
TRUST = httpx.create_ssl_context()


def answer(body: bytes = PNG, status: str = "200 OK", *headers: str, length=True) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def moved(to: str, status: str = "302 Found") -> bytes:
    return answer(b"", status, f"Location: {to}")


@dataclass
class Site:
    """A web server. `answers` by path; None never answers."""

    answers: dict[str, bytes | None] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader, writer):
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.requests.append(request)
        reply = self.answers[request.split(" ")[1]]
        if reply is None:
            await reader.read()  # until the caller gives up
        else:
            writer.write(reply)
        writer.close()


class Names:
    """A resolver that knows some hosts; a list of answers is given one by one."""

    def __init__(self) -> None:
        self.known: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if host not in self.known:
            raise OSError("unknown host")
        answers = self.known[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]


class Wire(httpcore.AnyIOBackend):
    """Connects to the test's own site, whatever the address; remembers which it was."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.connected: list[tuple[str, int]] = []
        self.dead: set[str] = set()

    async def connect_tcp(self, host, port, *more, **options):
        self.connected.append((host, port))
        if host in self.dead:
            raise httpcore.ConnectError("refused")
        return await super().connect_tcp("127.0.0.1", self.site.port, *more, **options)


@dataclass
class World:
    site: Site
    names: Names
    wire: Wire
    fetcher: MediaFetcher

    async def fetch(self, url: str, *families: str):
        return await self.fetcher.fetch(url, "image", families or ("image",))


@pytest.fixture
def settings() -> FetchSettings:
    return FetchSettings(max_bytes=LIMIT)


@pytest.fixture
async def world(settings) -> AsyncIterator[World]:
    site, names = Site({"/a.png": answer()}), Names()
    names.known["media.example"] = [[PUBLIC]]
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    fetcher, wire = MediaFetcher(settings, names, TRUST), Wire(site)
    fetcher._pool._network_backend._network = wire  # type: ignore[attr-defined]
    yield World(site, names, wire, fetcher)
    await fetcher.aclose()
    server.close()


async def refused(world: World, url: str, *families: str) -> str:
    with pytest.raises(InvalidRequest) as error:
        await world.fetch(url, *families)
    assert (error.value.status_code, error.value.param) == (400, "image")
    return error.value.message


async def test_a_picture_is_fetched_and_named_by_its_content(world):
    world.site.answers["/a.png"] = answer(PNG, "200 OK", "Content-Type: text/html")
    fetched = await world.fetch("http://media.example/a.png")
    assert (fetched.data, fetched.media_type) == (PNG, "image/png")
    assert "host: media.example\r\n" in world.site.requests[0].lower()
    assert "authorization" not in world.site.requests[0].lower()


async def test_what_was_checked_is_what_is_connected_to(world):
    world.names.known["media.example"] = [[PUBLIC], ["127.0.0.1"]]
    await world.fetch("http://media.example/a.png")
    assert world.names.asked == ["media.example"]
    assert world.wire.connected == [(PUBLIC, 80)]


async def test_the_next_address_is_tried_when_one_does_not_answer(world):
    world.names.known["media.example"] = [["2606:2800:220:1::1", PUBLIC]]
    world.wire.dead.add("2606:2800:220:1::1")
    assert (await world.fetch("http://media.example/a.png")).data == PNG


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::",
        "2001:0:1::1",
        "fe80::1",
        "fe80::1%lo",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
    ],
)
async def test_no_address_of_ours_is_reached(world, address):
    assert not is_public(address)
    for addresses in ([address], [PUBLIC, address]):
        world.names.known["media.example"] = [addresses]
        message = await refused(world, "http://media.example/a.png")
        assert address not in message
    assert not world.wire.connected


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:2800:220:1::1", "64:ff9b::808:808"])
def test_public_addresses_are_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "localhost",
        "①②⑦.⓪.⓪.①",
    ],
)
async def test_no_spelling_of_this_machine_reaches_it(settings, host):
    """With the system's own resolver, and a server that would answer."""
    site = Site({"/a.png": answer()})
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    fetcher = MediaFetcher(settings, trust=TRUST)
    with pytest.raises(InvalidRequest):
        await fetcher.fetch(f"http://{host}:{port}/a.png", "image")
    assert not site.requests
    server.close()


async def test_unknown_and_private_hosts_get_the_same_answer(world):
    world.names.known["internal.example"] = [["10.0.0.1"]]
    unknown = await refused(world, "http://nowhere.example/a.png")
    assert await refused(world, "http://internal.example/a.png") == unknown


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.png",
        "/etc/passwd",
        "file:///etc/passwd",
        "ftp://media.example/a.png",
        "gopher://media.example/",
        "unix:///var/run/docker.sock",
        "http://",
        "http:///a.png",
        "http://user:secret@media.example/a.png",
        "http://media.example:22/a.png",
        "http://media.example:0/a.png",
        "http://media.example:99999/a.png",
        "http://media.example:x/a.png",
        "http://media.example\r\nX: y/a.png",
        "http://media.example\x00/a.png",
        "http://[::1/a.png",
        "http://[fe80::1%25lo]/a.png",
        "http://media.example/" + "a" * 5000,
        "http://" + "a." * 200 + "example/",
    ],
)
async def test_what_is_no_fetchable_url_is_refused_before_any_connection(world, url):
    await refused(world, url)
    assert not world.wire.connected


async def test_redirects_are_followed_by_the_same_rules(world):
    world.names.known["other.example"] = [[PUBLIC]]
    world.site.answers |= {
        "/1": moved("http://other.example/2"),
        "/2": moved("/dir/3", "308 Permanent Redirect"),
        "/dir/3": moved("../a.png", "303 See Other"),
    }
    assert (await world.fetch("http://media.example/1")).data == PNG
    assert world.names.asked == ["media.example", *["other.example"] * 3]


@pytest.mark.parametrize(
    "target",
    [
        "http://internal.example/a.png",
        "http://127.0.0.1/a.png",
        "file:///etc/passwd",
        "//user@media.example/a.png",
        "http://media.example:22/",
        "data:image/png;base64,iVBORw0KGgo=",
    ],
)
async def test_a_redirect_to_a_forbidden_place_is_refused(world, target):
    world.names.known |= {"internal.example": [["10.0.0.1"]], "127.0.0.1": [["127.0.0.1"]]}
    world.site.answers["/1"] = moved(target)
    await refused(world, "http://media.example/1")
    assert len(world.site.requests) == 1


async def test_a_circle_of_redirects_ends(world):
    world.site.answers["/1"] = moved("/1")
    assert "redirects" in await refused(world, "http://media.example/1")
    assert len(world.site.requests) == MAX_REDIRECTS + 1


@pytest.mark.parametrize("length", [True, False])
async def test_a_body_over_the_limit_is_refused_declared_or_not(world, length):
    fits = PNG[:8] + bytes(LIMIT - 8)
    world.site.answers |= {
        "/fits": answer(fits, length=length),
        "/over": answer(fits + b"x", length=length),
    }
    assert len((await world.fetch("http://media.example/fits")).data) == LIMIT
    assert str(LIMIT) in await refused(world, "http://media.example/over")


async def test_an_endless_body_is_cut(world):
    world.site.answers["/a"] = answer(PNG, "200 OK", "Content-Length: 9" + "9" * 30, length=False)
    await refused(world, "http://media.example/a")


@pytest.mark.parametrize("settings", [FetchSettings(timeout_s=0.2)])
async def test_a_server_that_does_not_answer_is_given_up(world):
    world.site.answers["/slow"] = None
    assert "too long" in await refused(world, "http://media.example/slow")


@pytest.mark.parametrize(
    "reply",
    [
        answer(b"", "404 Not Found"),
        answer(b"", "500 Oops"),
        answer(b"", "302 Found"),
        answer(PNG, "200 OK", "Content-Encoding: gzip"),
        answer(b"<html>", "200 OK", "Content-Type: image/png"),
        answer(b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        answer(b""),
        answer(WAV),
        b"not http at all\r\n\r\n",
        b"",
    ],
)
async def test_an_answer_that_is_no_picture_is_refused(world, reply):
    world.site.answers["/a"] = reply
    await refused(world, "http://media.example/a")


async def test_other_families_are_taken_where_they_are_asked_for(world):
    world.site.answers["/a.wav"] = answer(WAV)
    assert (await world.fetch("http://media.example/a.wav", "audio")).media_type == "audio/wav"


@pytest.mark.parametrize("settings", [FetchSettings(allow_private_media_urls=True)])
async def test_an_operator_may_allow_private_hosts(world):
    world.names.known["nas.internal"] = [["192.168.1.5"]]
    assert (await world.fetch("http://nas.internal:8080/a.png")).data == PNG
    assert world.wire.connected == [("192.168.1.5", 8080)]


def data_url(data: bytes, head: str = "image/png;base64") -> str:
    return f"data:{head},{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    "head", ["image/png;base64", "image/png;name=a.png;base64", ";base64", "text/html;BASE64"]
)
async def test_a_data_url_is_what_its_bytes_are(world, head):
    fetched = await world.fetch(data_url(PNG, head))
    assert (fetched.data, fetched.media_type) == (PNG, "image/png")
    assert not world.names.asked


@pytest.mark.parametrize(
    "url",
    [
        "data:",
        "data:image/png;base64",
        "data:image/png;base64,",
        "data:image/png;base64,@@@@",
        "data:image/png;base64,é",
        "data:image/png;base64,iVBORw0KGg",
        "data:image/png,%89PNG",
        data_url(b"<html>"),
        data_url(WAV),
        data_url(PNG + bytes(LIMIT)),
        data_url(PNG[:8] + bytes(LIMIT - 7)),
    ],
)
async def test_a_bad_data_url_is_refused(world, url):
    await refused(world, url)
