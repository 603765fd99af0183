"""Media over HTTP: whole and in ranges, for those with a good URL and nobody else."""

from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from ingress.media import blobs as blobs_module
from tests.ingress.media.conftest import PEPPER, png

SIZE = 2056


@pytest.fixture
def data():
    return png(SIZE)


@pytest.fixture
async def tenant(media):
    return await media.tenant()


@pytest.fixture
async def url(media, tenant, data):
    return await media.publish(tenant, data)


def changed(url: str, **changes: str | None) -> str:
    """The URL with other query parameters; None removes one."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query)) | changes
    kept = {name: value for name, value in query.items() if value is not None}
    return parts._replace(query=urlencode(kept)).geturl()


async def test_published_media_come_back_with_what_caches_and_browsers_need(media, url, data):
    response = await media.client.get(url)
    blob = urlsplit(url).path.removeprefix("/media/").removesuffix(".png")
    assert (response.status_code, response.content) == (200, data)
    assert response.headers["content-type"] == "image/png"
    assert response.headers["content-length"] == str(SIZE)
    assert response.headers["etag"] == f'"{blob}"'
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-disposition"].startswith("inline")
    directives = response.headers["cache-control"].split(", ")
    assert {"public", "max-age=2592000", "immutable", "s-maxage=60"} == set(directives)


async def test_head_says_the_same_without_a_body(media, url):
    whole, head = await media.client.get(url), await media.client.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert dict(head.headers) == dict(whole.headers)
    part = await media.client.head(url, headers={"range": "bytes=0-9"})
    assert (part.status_code, part.headers["content-length"]) == (206, "10")


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, SIZE),
        ("bytes=10-19", 10, 20),
        ("bytes=2000-999999", 2000, SIZE),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        ("bytes=-1", SIZE - 1, SIZE),
        ("bytes=-500", SIZE - 500, SIZE),
        ("bytes=-999999", 0, SIZE),
        ("Bytes=5-6", 5, 7),
    ],
)
async def test_a_range_gives_that_part(media, url, data, asked, start, end):
    response = await media.client.get(url, headers={"range": asked})
    assert (response.status_code, response.content) == (206, data[start:end])
    assert response.headers["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert response.headers["content-length"] == str(end - start)


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=-0"])
async def test_a_range_behind_the_end_is_a_416_with_the_size(media, url, asked):
    response = await media.client.get(url, headers={"range": asked})
    assert response.status_code == 416
    assert response.headers["content-range"] == f"bytes */{SIZE}"
    assert response.headers["cache-control"] == "no-store"
    assert response.json()["error"]["code"] == "range_not_satisfiable"


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=9-3",
        "bytes=-",
        "bytes=a-b",
        "lines=0-1",
        "bytes=0-1,5-6",
        "bytes=0-1-2",
        "bytes=" + "9" * 100 + "-",
        "bytes=+1-2",
        b"bytes=\xd9\xa1-\xd9\xa2",
        "",
    ],
)
async def test_a_range_that_cannot_be_read_is_ignored(media, url, data, asked):
    response = await media.client.get(url, headers={"range": asked})
    assert (response.status_code, response.content) == (200, data)


async def test_a_body_that_the_caller_has_is_not_sent_again(media, url):
    etag = (await media.client.get(url)).headers["etag"]
    for header in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        response = await media.client.get(
            url, headers={"if-none-match": header, "range": "bytes=0-1"}
        )
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == etag
        assert "immutable" in response.headers["cache-control"]
    for header in ('"other"', "", etag.strip('"')):
        assert (await media.client.get(url, headers={"if-none-match": header})).status_code == 200


async def test_if_range_guards_the_part(media, url):
    etag = (await media.client.get(url)).headers["etag"]
    for header, status in (
        (etag, 206),
        (f"W/{etag}", 200),
        ('"other"', 200),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 200),
    ):
        asked = {"range": "bytes=0-1", "if-range": header}
        assert (await media.client.get(url, headers=asked)).status_code == status


@pytest.mark.parametrize(
    "change",
    [
        {"signature": None},
        {"signature": ""},
        {"signature": "A" * 43},
        {"signature": "ö" * 43},
        {"tenant": None},
        {"tenant": "0" * 32},
        {"tenant": "x\x00y"},
        {"expires": None},
        {"expires": "9999999999"},
        {"expires": "9" * 400},
        {"expires": "-1"},
        {"expires": "soon"},
        {"extra": "1"},
    ],
)
async def test_a_changed_url_is_refused(media, url, change):
    response = await media.client.get(changed(url, **change))
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "permission_denied"
    assert response.headers["cache-control"] == "no-store"


async def test_every_character_of_the_signature_counts(media, url):
    signature = dict(parse_qsl(urlsplit(url).query))["signature"]
    for place in range(len(signature)):
        other = "A" if signature[place] != "A" else "B"
        forged = signature[:place] + other + signature[place + 1 :]
        assert (await media.client.get(changed(url, signature=forged))).status_code == 403


async def test_a_parameter_given_twice_is_refused(media, url):
    query = dict(parse_qsl(urlsplit(url).query))
    assert (await media.client.get(f"{url}&expires={query['expires']}")).status_code == 403


async def test_a_signature_of_one_picture_opens_no_other(media, tenant, url):
    other = await media.publish(tenant, png())
    swapped = urlsplit(other)._replace(query=urlsplit(url).query).geturl()
    assert (await media.client.get(swapped)).status_code == 403
    renamed = url.replace(".png?", ".jpg?")
    assert (await media.client.get(renamed)).status_code == 403


async def test_a_tenant_cannot_read_by_knowing_anothers_hash(media, url):
    stranger = await media.tenant()
    blob = urlsplit(url).path.removeprefix("/media/")
    own = media.signer.sign(blob, media.signer.owner(stranger))
    assert (await media.client.get(own.path)).status_code == 404


async def test_a_url_ends_at_its_expiry(media, url):
    expires = int(dict(parse_qsl(urlsplit(url).query))["expires"])
    media.clock.now = expires - 10
    response = await media.client.get(url)
    assert response.status_code == 200
    assert "s-maxage=10," in response.headers["cache-control"]
    media.clock.now = expires
    assert (await media.client.get(url)).status_code == 403


async def test_urls_made_close_together_are_the_same(media, tenant, data, url):
    media.clock.now = 1_795_000_000.0 // 300 * 300 + 1
    first = await media.publish(tenant, data)
    media.clock.now += 290
    assert await media.publish(tenant, data) == first


async def test_a_url_does_not_outlive_its_media(media, tenant, data, url):
    await media.expire(tenant, urlsplit(url).path[7:71])
    assert (await media.client.get(url)).status_code == 404


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e",
        "%00",
        "a" * 64,
        "a" * 64 + ".",
        "A" * 64 + ".png",
        "a" * 64 + ".png%00",
        "a" * 64 + ".png/x",
        "a" * 63 + "\u0661.png",
        "a" * 64 + "." + "png" * 100,
        "drafts",
    ],
)
async def test_no_other_name_reaches_the_store(media, url, name):
    response = await media.client.get(f"/media/{name}?{urlsplit(url).query}")
    assert response.status_code == 404


async def test_a_hash_that_nobody_has_is_not_found_even_when_signed(media, tenant):
    signed = media.signer.sign("f" * 64 + ".png", media.signer.owner(tenant))
    assert (await media.client.get(signed.path)).status_code == 404


async def test_media_whose_blob_was_lost_are_not_found(media, url):
    await media.blobs.delete(urlsplit(url).path[7:71])
    response = await media.client.get(url)
    assert response.status_code == 404
    assert response.headers["cache-control"] == "no-store"


async def test_types_that_browsers_might_run_are_only_saved(media, tenant):
    url = await media.publish(tenant, b"<script>alert(1)</script>" + png(20), "text/html")
    response = await media.client.get(url)
    assert response.headers["content-disposition"].startswith("attachment")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in response.headers["content-security-policy"]


async def test_a_long_body_is_read_in_pieces(media, monkeypatch):
    monkeypatch.setattr(blobs_module, "PIECE_BYTES", 1000)
    tenant, data = await media.tenant("open"), png(12_345)
    url = await media.publish(tenant, data)
    assert (await media.client.get(url)).content == data
    part = await media.client.get(url, headers={"range": "bytes=999-10001"})
    assert part.content == data[999:10002]
    pieces = [piece async for piece in media.blobs.pieces(urlsplit(url).path[7:71], 0, 12_345)]
    assert max(map(len, pieces)) == 1000


async def test_urls_do_not_tell_who_the_tenant_is(media, tenant, url):
    assert tenant not in url
    assert PEPPER.get_secret_value() not in url
