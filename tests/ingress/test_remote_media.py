"""Remote media become part of the request, wherever a request may hold them."""

from typing import Any

import pytest

from core.errors import InvalidRequest
from ingress.fetch import FetchedMedia
from ingress.remote_media import MAX_MEDIA, RemoteMedia

DATA = "data:image/png;base64,cGljdHVyZQ=="


class Fetcher:
    """Knows one picture; remembers what was asked."""

    max_bytes = 20

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, tuple[str, ...], int]] = []

    async def fetch(self, url, param, families, max_bytes):
        self.asked.append((url, param, families, max_bytes))
        if "missing" in url:
            raise InvalidRequest("not there", param)
        return FetchedMedia(b"picture", "image/png")


@pytest.fixture
def fetcher():
    return Fetcher()


@pytest.fixture
def remote(fetcher):
    return RemoteMedia(fetcher)


@pytest.mark.parametrize("url", ["http://a/b", "https://a/b", "HTTPS://a/b"])
async def test_a_field_may_hold_a_url_plain_or_in_an_object(remote, fetcher, url):
    document = {"image": url, "mask": {"url": url, "detail": "low"}, "prompt": url}
    await remote.inline(document, "image", "mask", "control_image")
    assert document == {"image": DATA, "mask": {"url": DATA, "detail": "low"}, "prompt": url}
    assert [param for _, param, *_ in fetcher.asked] == ["image", "mask.url"]


async def test_a_field_may_be_a_list_or_in_an_object(remote, fetcher):
    document = {"images": ["http://a/1", {"url": "http://a/2"}], "stage": {"image": "http://a/3"}}
    await remote.inline(document, "images", "stage.image")
    assert document == {"images": [DATA, {"url": DATA}], "stage": {"image": DATA}}
    assert [param for _, param, *_ in fetcher.asked] == ["images.0", "images.1.url", "stage.image"]


async def test_a_chat_may_hold_them_in_any_part(remote, fetcher):
    document: Any = {
        "messages": [
            {"role": "system", "content": "http://a/not-a-part"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "http://a/text"},
                    {"type": "image_url", "image_url": {"url": "http://a/1"}},
                    {"type": "audio_url", "audio_url": "http://a/2"},
                    {"type": "image_url", "image_url": {"url": DATA}},
                ],
            },
        ]
    }
    await remote.inline_chat(document)
    parts = document["messages"][1]["content"]
    assert parts[1]["image_url"]["url"] == DATA
    assert parts[2]["audio_url"] == DATA
    assert fetcher.asked == [
        ("http://a/1", "messages.1.content.1.image_url.url", ("image",), 20),
        ("http://a/2", "messages.1.content.2.audio_url", ("audio",), 13),
    ]


async def test_what_cannot_be_fetched_is_named(remote):
    with pytest.raises(InvalidRequest) as error:
        await remote.inline({"image": "http://a/missing"}, "image")
    assert error.value.param == "image"


async def test_there_is_a_limit_to_how_many(remote, fetcher):
    content = [{"image_url": "http://a/1"}] * (MAX_MEDIA + 1)
    with pytest.raises(InvalidRequest):
        await remote.inline_chat({"messages": [{"content": content}]})
    assert not fetcher.asked


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"messages": "x", "image": 7},
        {"messages": [None, 7, {"content": None}, {"content": [None, 7, {}]}], "image": None},
        {"messages": [{"content": [{"image_url": None}, {"image_url": {"url": 7}}]}]},
        {"image": {"url": {"url": 7}}},
        {"image": "file:///etc/passwd"},
        {"image": [7, None, {"file": "http://a/1"}]},
        {"image": {"image": None}},
    ],
)
async def test_other_shapes_are_left_to_validation(remote, fetcher, document):
    before = repr(document)
    await remote.inline(document, "image", "image.image", "messages.image")
    await remote.inline_chat(document)
    assert repr(document) == before
    assert not fetcher.asked
