"""Videos with the official SDK on a real cluster: made, watched, cancelled, and made all the same
when what makes them is killed.
"""

import asyncio
import io
import json

import httpx
import openai
import pytest
from PIL import Image

from models.starter_video.clips import Clip, first_frame
from tests.e2e.seen import filmed, frames
from tests.e2e.test_families import PATIENCE

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:The Sora API"),
]
VIDEOS = "/v1/videos"
FINAL = ("completed", "failed")
WHOLE = 64 * 64 * 4000
"""Units of four seconds as they are drawn."""


def scene(clip):
    """The picture that a clip begins with, as a file."""
    buffer = io.BytesIO()
    Image.fromarray(first_frame(clip)).save(buffer, "PNG")
    return buffer.getvalue()


async def asked(http, **fields):
    response = await http.post(VIDEOS, json={"prompt": "a red circle moves right"} | fields)
    assert response.status_code == 200, response.text
    return response.json()


async def until(http, video_id, condition, seconds=240):
    """The video, once `condition` holds of it. A gateway may be killed meanwhile."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                response = await http.get(f"{VIDEOS}/{video_id}")
                if response.status_code == 200 and condition(response.json()):
                    return response.json()
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.2)


async def drawn_a_bit(http, video_id):
    return await until(http, video_id, lambda video: 10 < video["progress"] < 90)


async def ended(http, video_id):
    return await until(http, video_id, lambda video: video["status"] in FINAL)


async def billed(person, video_id):
    """The settled rows of a video's calls, and those of them that cost something."""
    for _ in range(100):
        rows = [
            row
            for row in await person.usage_rows()
            if json.loads(row["details"])["trace_id"] == video_id
        ]
        if rows and all(row["status"] != "admitted" for row in rows):
            return rows, [row for row in rows if row["other_units"] not in ("{}", None)]
        await asyncio.sleep(0.2)
    raise AssertionError(rows)


async def test_a_video_shows_what_was_asked_for_and_is_downloaded_and_billed_once(pro, other):
    async with pro.openai(**PATIENCE) as client:
        video = await client.videos.create_and_poll(
            model="sora-2",
            prompt="a red circle moves right on a blue background",
            size="256x256",
            seconds="4",
            extra_body={"camera": ["orbit_left"], "seed": 3},
        )
        assert (video.status, video.error, video.progress) == ("completed", None, 100)
        data = (await client.videos.download_content(video.id)).content
        thumbnail = (await client.videos.download_content(video.id, variant="thumbnail")).content
    assert frames(data).shape == (16, 256, 256, 3)
    assert filmed(data) == ("red", "circle", "blue", "right")
    assert thumbnail[8:12] == b"WEBP"
    rows, costly = await billed(pro, video.id)
    assert [json.loads(row["other_units"]) for row in costly] == [{"video_pixel_ms": WHOLE}]
    assert len(rows) == 1
    async with pro.http() as http:
        part = await http.get(f"{VIDEOS}/{video.id}/content", headers={"range": "bytes=4-7"})
        assert (part.status_code, part.content) == (206, b"ftyp")
    async with other.http() as theirs:
        assert (await theirs.get(f"{VIDEOS}/{video.id}/content")).status_code == 404
        assert (await theirs.delete(f"{VIDEOS}/{video.id}")).status_code == 404


async def test_a_picture_moves_and_its_progress_is_told(pro):
    async with pro.openai(**PATIENCE) as client:
        video = await client.videos.create(
            prompt="it moves left",
            input_reference=("in.png", scene(Clip("red", "circle", "white", "left")), "image/png"),
            extra_body={"steps": 60, "seed": 1},
        )
    async with (
        pro.http() as http,
        http.stream("GET", f"{VIDEOS}/{video.id}/events", timeout=200) as events,
    ):
        lines = [line async for line in events.aiter_lines()]
    told = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert told[-1]["type"] == "video.completed", told[-1]
    progress = [event["video"]["progress"] for event in told]
    assert progress == sorted(progress)
    assert len(set(progress)) > 2
    async with pro.http() as http:
        content = (await http.get(f"{VIDEOS}/{video.id}/content")).content
    seen = filmed(content)  # its shape is another matter: a quarter of them, in the model's scores
    assert (seen.colour, seen.background, seen.motion) == ("red", "white", "left")


async def test_what_cannot_be_made_is_refused_without_waking_anybody(pro):
    async with pro.openai(**PATIENCE) as client:
        for fields in (
            {"size": "720x1280"},
            {"seconds": "12"},
            {"input_reference": ("in.png", b"MZ not a picture", "image/png")},
        ):
            with pytest.raises(openai.BadRequestError) as refusal:
                await client.videos.create(prompt="x", **fields)
            assert refusal.value.param == next(iter(fields))
        assert not (await client.videos.list()).data
    assert await pro.usage_rows() == []


async def test_a_cancelled_video_stops_and_costs_what_was_drawn(pro):
    async with pro.http() as http:
        video = await asked(http, steps=100)
        await drawn_a_bit(http, video["id"])
        gone = (await http.post(f"{VIDEOS}/{video['id']}/cancel")).json()
        assert (gone["status"], gone["error"]["code"]) == ("failed", "cancelled")
        assert (await http.get(f"{VIDEOS}/{video['id']}/content")).status_code == 404
        (row,), (costly,) = await billed(pro, video["id"])
        assert (row["status_code"], row["error_code"]) == (499, "cancelled")
        assert 0 < json.loads(costly["other_units"])["video_pixel_ms"] < WHOLE
        assert (await http.delete(f"{VIDEOS}/{video['id']}")).json()["deleted"]


@pytest.mark.chaos
@pytest.mark.parametrize("victim", ["starter-video", "jobs", "gateway"])
async def test_a_video_is_made_and_billed_once_whatever_is_killed(cluster, pro, victim):
    async with pro.http() as http:
        video = await asked(http, steps=100)
        await drawn_a_bit(http, video["id"])
        cluster.kill(f"ServeReplica:{victim}")
        video = await ended(http, video["id"])
        assert video["status"] == "completed", video
        content = await http.get(f"{VIDEOS}/{video['id']}/content")
        assert content.content[4:8] == b"ftyp"
    rows, costly = await billed(pro, video["id"])
    assert [json.loads(row["other_units"]) for row in costly] == [{"video_pixel_ms": WHOLE}]
    # None: its lease ran out before the next process was there to end it.
    assert {row["status_code"] for row in rows if row not in costly} <= {503, None}
