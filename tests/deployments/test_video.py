"""The video model on random weights in the starter's layout: sizes, counts, camera, real files."""

import asyncio
import base64
import io
import json
import threading
import time

import av
import numpy as np
import pytest
from PIL import Image

from core.errors import InvalidRequest, SettingsError
from core.model import CallContext, ModelCard
from core.videos import MOVES, AnimationRequest
from core.work import NO_WORK
from deployments.video import SPEC, Video
from deployments.video_camera import filmed
from deployments.video_files import mp4
from deployments.video_takes import Job, VideoSettings
from tests.ingress.video_world import picture

STEPS = 3
LIMITS = {"sizes": ["64x64", "128x128", "128x64"], "fps": [4, 8, 16], "max_frames": 17}
CARD = ModelCard(id="tiny", spec="deployments.video:SPEC", limits=LIMITS)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    import torch

    from models.starter_video.networks import (
        new_autoencoder,
        new_denoiser,
        new_text_encoder,
        pipeline,
    )
    from models.starter_video.words import build

    torch.manual_seed(0)
    tokenizer = build(0)
    folder = tmp_path_factory.mktemp("video") / "weights"
    pipeline(
        tokenizer, new_text_encoder(tokenizer), new_autoencoder(), new_denoiser()
    ).save_pretrained(folder)
    return str(folder)


def settings(source, **changes):
    fields = {
        "name": "tiny",
        "source": source,
        "limits": LIMITS,
        "drawn_size": "64x64",
        "steps": STEPS,
        "max_batch": 4,
        "batch_wait_ms": 50,
    }
    return VideoSettings.model_validate(fields | changes)


@pytest.fixture(scope="module")
def model(source):
    return Video(settings(source))


def call():
    return CallContext("r1")


def request(**fields):
    return AnimationRequest.model_validate({"prompt": "a red circle", "seed": 3} | fields)


async def animated(model, context=None, **fields):
    reply = await model.animate(request(**fields), context or call())
    return json.loads(reply.body), reply.units


def film(body):
    """The MP4's stream facts and its frames."""
    with av.open(io.BytesIO(base64.b64decode(body["video"])), "r") as file:
        stream = file.streams.video[0]
        seconds = float((stream.duration or 0) * (stream.time_base or 0))
        facts = (stream.codec_context.name, float(stream.average_rate or 0), seconds)
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    return facts, np.stack(frames)


@pytest.mark.parametrize(
    ("fields", "size", "frames", "fps"),
    [
        ({}, (64, 64), 16, 4),
        ({"seconds": 1, "size": "128x128"}, (128, 128), 16, 16),
        ({"seconds": 2, "size": "128x64", "codec": "av1"}, (128, 64), 16, 8),
        ({"fps": 16}, (64, 64), 17, 16),
        ({"seconds": 0.1}, (64, 64), 2, 16),
    ],
)
async def test_a_file_is_what_was_asked_for_and_says_so(model, fields, size, frames, fps):
    body, units = await animated(model, **fields)
    (codec, rate, seconds), drawn = film(body)
    assert drawn.shape == (frames, size[1], size[0], 3)
    assert (rate, seconds) == (fps, pytest.approx(frames / fps))
    assert codec in ({"h264"} if "codec" not in fields else {"libdav1d", "av1"})
    assert (body["size"], body["fps"], body["frames"]) == (f"{size[0]}x{size[1]}", fps, frames)
    assert body["seconds"] == frames / fps
    assert body["usage"] == units.nonzero()
    assert Image.open(io.BytesIO(base64.b64decode(body["thumbnail"]))).size == size
    sheet = Image.open(io.BytesIO(base64.b64decode(body["spritesheet"])))
    assert sheet.size == (size[0] * min(4, frames), size[1] * -(-min(16, frames) // 4))


async def test_the_file_plays_while_it_loads_in_colours_that_browsers_know(model):
    body, _ = await animated(model, seconds=0.25)
    data = base64.b64decode(body["video"])
    assert data[4:8] == b"ftyp"
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(io.BytesIO(data), "r") as file:
        assert file.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_colours_survive_encoding():
    frames = np.zeros((4, 64, 64, 3), np.uint8)
    frames[:, :, :32], frames[:, :, 32:] = (200, 30, 30), (20, 60, 180)
    _, seen = film({"video": base64.b64encode(mp4(frames, 4, "h264")).decode()})
    assert abs(seen[2, 10, 8].astype(int) - (200, 30, 30)).max() <= 6
    assert abs(seen[2, 50, 56].astype(int) - (20, 60, 180)).max() <= 6


async def test_what_is_counted_is_what_was_drawn_and_never_over_the_estimate(model):
    for fields in ({}, {"size": "128x128", "seconds": 1}, {"size": "128x64", "seconds": 2}):
        _, units = await animated(model, **fields)
        estimate = SPEC.operations["animate"].estimate(request(**fields), CARD)
        assert 0 < units.video_pixel_ms <= estimate.video_pixel_ms
    _, small = await animated(model, seconds=1)
    _, large = await animated(model, seconds=1, size="128x128")
    assert small == large  # drawn as large as it was trained, then enlarged


def test_lengths_are_those_that_the_model_can_draw_or_was_trained_on(model, source):
    def drawn(made, frames):
        asked = request(seconds=frames / 16, fps=16)
        return made.takes.understood(asked, call()).kind.frames

    assert [drawn(model, frames) for frames in (1, 2, 5, 6, 16, 17)] == [1, 5, 5, 9, 17, 17]
    trained = Video(settings(source, drawn_frames=[9, 17]))
    assert [drawn(trained, frames) for frames in (1, 9, 10, 17)] == [9, 9, 17, 17]


async def test_a_seed_repeats_a_video_and_its_absence_does_not(model):
    once, again, other = [(await animated(model, seed=seed))[0] for seed in (7, 7, 8)]
    assert once["video"] == again["video"] != other["video"]
    free, freer = [(await animated(model, seed=None))[0] for _ in range(2)]
    assert free["seed"] != freer["seed"]


async def test_videos_that_arrive_together_are_drawn_together_and_are_the_same_alone(
    model, monkeypatch
):
    sizes, run = [], model.batcher._work

    def counted(batch):
        sizes.append(len(batch.jobs))
        return run(batch)

    monkeypatch.setattr(model.batcher, "_work", counted)
    # There was company before, so whoever comes first waits, and long enough for a busy machine.
    monkeypatch.setattr(model.batcher, "_company", True)
    monkeypatch.setattr(model.batcher, "_wait_s", 2.0)
    together = await asyncio.gather(
        *(animated(model, seed=seed, seconds=0.25) for seed in (1, 2, 3)),
        animated(model, seed=1, seconds=0.25, steps=STEPS + 1),
    )
    assert sorted(sizes) == [1, 3]
    alone, _ = await animated(model, seed=2, seconds=0.25)
    frames = [film(body)[1].astype(int) for body in (alone, together[1][0])]
    assert abs(frames[0] - frames[1]).mean() < 2


async def test_a_first_picture_is_the_first_frame(source):
    model = Video(settings(source, max_batch=4))
    plain, begun = [
        await animated(model, steps=2, **more) for more in ({}, {"input_reference": picture()})
    ]
    assert plain[0]["video"] != begun[0]["video"]
    two = await asyncio.gather(
        *(animated(model, steps=2, input_reference=picture((w, 50))) for w in (50, 90))
    )
    assert all(units == begun[1] for _, units in two)


@pytest.mark.parametrize("move", MOVES)
async def test_a_move_of_the_camera_changes_frames_and_nothing_else(model, move):
    still, moved = [(await animated(model, seconds=1, camera=c))[0] for c in ((), (move,))]
    (facts, before), (moved_facts, after) = film(still), film(moved)
    assert facts == moved_facts
    assert before.shape == after.shape
    assert abs(before.astype(int) - after.astype(int)).mean() > 1


def scene(frames=9, side=64):
    """A bright square on a dark field, standing still."""
    drawn = np.full((frames, side, side, 3), 40, np.uint8)
    drawn[:, 24:40, 24:40] = 220
    return drawn


def place(frame):
    """(column, row) of the middle of what is bright, and how much of it there is."""
    rows, columns = np.nonzero(frame[..., 0] > 130)
    return columns.mean(), rows.mean(), len(rows)


def test_the_camera_moves_where_it_says():
    def ends(move):
        seen = filmed(scene(), (move,), 0.5)
        return place(seen[0]), place(seen[-1])

    first, last = ends("pan_right")
    assert last[0] < first[0] - 5  # the camera goes right, so things go left
    first, last = ends("pan_left")
    assert last[0] > first[0] + 5
    first, last = ends("tilt_up")
    assert last[1] > first[1] + 5
    first, last = ends("zoom_in")
    assert last[2] > 1.5 * first[2]
    first, last = ends("zoom_out")
    assert first[2] > 1.5 * last[2]


def test_an_orbit_is_a_turn_in_perspective_and_not_a_pan():
    turned = filmed(scene(), ("orbit_right",), 1.0)
    edges = scene()
    edges[:, :, :8], edges[:, :, -8:] = 220, 220
    seen = filmed(edges, ("orbit_right",), 1.0)
    left, right = (seen[0][..., :32, 0] > 130).sum(), (seen[0][..., 32:, 0] > 130).sum()
    assert left != right  # one side is nearer
    assert (seen[0][:, ::-1][..., 0].astype(int) - seen[-1][..., 0]).mean() == pytest.approx(
        0, abs=3
    )
    assert place(turned[4])[0] == pytest.approx(31.5, abs=0.6)


def test_a_stronger_camera_goes_farther():
    weak, strong = [place(filmed(scene(), ("pan_right",), s)[-1])[0] for s in (0.2, 0.8)]
    assert strong < weak < 31.5


async def test_models_that_know_cameras_are_told_in_words(source):
    model = Video(settings(source, limits=LIMITS | {"camera": "prompt"}))
    take = model.takes.understood(request(camera=["zoom_in", "pan_left"]), call())
    assert take.job.prompt.endswith("the camera slowly zooms in, the camera pans left")
    body, _ = await animated(model, camera="zoom_in")
    assert body["frames"] == 16


async def streamed(model, context, **fields):
    chunks = [
        chunk async for chunk in model.animate_stream(request(stream=True, **fields), context)
    ]
    return [json.loads(chunk.data.split(b"data: ")[1]) for chunk in chunks], chunks


async def test_a_stream_tells_how_far_it_is_and_bills_with_the_video(model, monkeypatch):
    monkeypatch.setattr("deployments.video.TOLD_EVERY_S", 0.0)
    context = call()
    events, chunks = await streamed(model, context)
    kinds = [event["type"].removeprefix("video.") for event in events]
    assert kinds == ["queued", "progress", "progress", "progress", "completed"]
    assert [event["step"] for event in events[1:-1]] == [1, 2, 3]
    assert {chunk.units for chunk in chunks[:-1]} == {NO_WORK}
    assert chunks[-1].units.nonzero() == events[-1]["usage"]
    assert events[-2]["usage"] == events[-1]["usage"]
    assert context.done == chunks[-1].units
    whole, _ = await animated(model)
    assert events[-1]["video"] == whole["video"]


async def test_steps_that_follow_each_other_quickly_are_not_all_told(model, monkeypatch):
    monkeypatch.setattr("deployments.video.TOLD_EVERY_S", 60.0)
    events, _ = await streamed(model, call())
    assert [event["step"] for event in events[1:-1]] == [1, 3], "the first and the last are"


async def test_a_caller_that_goes_away_stops_the_drawing_and_is_billed_to_there(model):
    context = call()
    stream = model.animate_stream(request(stream=True, steps=100), context)
    while b"progress" not in (await anext(stream)).data:
        pass
    await stream.aclose()
    await animated(model)  # the worker is free again, long before step 100
    whole = model.takes.understood(request(), call()).job.whole
    assert 0 < context.done.video_pixel_ms < whole.video_pixel_ms


async def test_a_cancelled_request_frees_the_worker(model, monkeypatch):
    context, started, count = call(), threading.Event(), Job.count

    def counted(job, done, steps):
        count(job, done, steps)
        started.set()

    monkeypatch.setattr(Job, "count", counted)
    task = asyncio.ensure_future(animated(model, context, steps=100))
    await asyncio.to_thread(started.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await animated(model, steps=1)
    whole = model.takes.understood(request(), call()).job.whole
    assert context.done.video_pixel_ms < whole.video_pixel_ms


async def test_a_waiting_stream_shows_that_it_is_alive(model, monkeypatch):
    monkeypatch.setattr("deployments.video.QUIET_S", 0.05)
    busy = asyncio.ensure_future(animated(model, steps=30))
    await asyncio.sleep(0.2)
    stream = model.animate_stream(request(stream=True, steps=1), call())
    pieces = [(await anext(stream)).data for _ in range(3)]
    assert b": waiting\n\n" in pieces
    await stream.aclose()
    busy.cancel()


@pytest.mark.parametrize(
    ("data", "param"),
    [(picture()[:120], "input_reference"), (picture(kind="JPEG")[:300], "input_reference")],
)
async def test_a_broken_picture_is_refused_by_name(model, data, param):
    with pytest.raises(InvalidRequest) as raised:
        await animated(model, input_reference=data)
    assert raised.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"size": "720x1280"}, "size"), ({"seconds": 5}, "seconds"), ({"fps": 24}, "fps")],
)
async def test_what_the_model_cannot_draw_is_refused_by_name(model, fields, param):
    with pytest.raises(InvalidRequest) as raised:
        await animated(model, **fields)
    assert raised.value.param == param


@pytest.fixture(scope="module")
def other_make(tmp_path_factory):
    """An untrained LTX-Video folder: another pipeline, other names for the same things."""
    from diffusers import (
        AutoencoderKLLTXVideo,
        FlowMatchEulerDiscreteScheduler,
        LTXPipeline,
        LTXVideoTransformer3DModel,
    )
    from transformers import T5Config, T5EncoderModel

    from models.starter_video.words import build

    tokenizer = build(0)
    pipeline = LTXPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=AutoencoderKLLTXVideo(
            latent_channels=8,
            block_out_channels=(8, 8, 8, 8),
            decoder_block_out_channels=(8, 8, 8, 8),
            layers_per_block=(1, 1, 1, 1, 1),
            decoder_layers_per_block=(1, 1, 1, 1, 1),
            spatio_temporal_scaling=(True, True, False, False),
            decoder_spatio_temporal_scaling=(True, True, False, False),
            patch_size=1,
        ),
        text_encoder=T5EncoderModel(
            T5Config(
                vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=4
            )
        ),
        tokenizer=tokenizer,
        transformer=LTXVideoTransformer3DModel(
            in_channels=8,
            out_channels=8,
            num_attention_heads=4,
            attention_head_dim=8,
            cross_attention_dim=32,
            num_layers=1,
            caption_channels=32,
        ),
    )
    folder = tmp_path_factory.mktemp("ltx") / "weights"
    pipeline.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
async def test_another_make_of_model_takes_the_same_requests(other_make, dtype):
    limits = {"sizes": ["64x64", "96x64"], "fps": [8, 24], "max_frames": 25}
    model = Video(settings(other_make, limits=limits, drawn_size=None, dtype=dtype))
    for more in ({}, {"input_reference": picture()}, {"size": "96x64"}):
        body, units = await animated(model, seconds=1, **more)
        _, frames = film(body)
        assert (len(frames), body["fps"]) == (24, 24)
        assert units.video_pixel_ms == frames.shape[1] * frames.shape[2] * 1000


async def test_in_half_precision_frames_are_decoded_in_full_where_bands_would_show(source):
    model = Video(settings(source, dtype="bfloat16"))
    parts = model.pipelines.get("text").components
    assert (str(parts["transformer"].dtype), str(parts["vae"].dtype)) == (
        "torch.bfloat16",
        "torch.float32",
    )
    for more in ({}, {"input_reference": picture()}):
        body, _ = await animated(model, seconds=1, **more)
        _, frames = film(body)
        assert frames.std() > 0


def test_weights_that_are_not_there_are_a_settings_error(tmp_path):
    with pytest.raises(SettingsError):
        Video(settings(str(tmp_path)))


async def test_the_engines_time_is_counted_for_the_call(model):
    context = call()
    started = time.perf_counter()
    await animated(model, context)
    assert 0 < context.device_s <= time.perf_counter() - started
