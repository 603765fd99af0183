"""The image model in process: what a caller gets, on untrained weights of the starter's layout.

That pictures mean something is tested on the shipped weights, in `tests/models`.
"""

import asyncio
import base64
import io
import json
import threading
import time

import numpy as np
import pytest
from PIL import Image as Pillow
from pydantic import ValidationError

from core.errors import InvalidRequest, SettingsError
from core.images import ImageEditRequest, ImageRequest, ImageVariationRequest, PictureFile
from core.model import CallContext, ModelCard
from deployments.image import SPEC, Image
from deployments.image_orders import ImageSettings

CARD = ModelCard(id="tiny", spec="deployments.image:SPEC")
STEPS = 4


@pytest.fixture(scope="session", params=["sd", "sdxl"])
def folder(tmp_path_factory, request):
    """An untrained folder of Stable Diffusion, and one of SDXL, with a ControlNet beside it."""
    path = tmp_path_factory.mktemp("image")
    return _sdxl(path) if request.param == "sdxl" else _stable_diffusion(path)


def _sdxl(path):
    import torch
    from diffusers import (
        AutoencoderKL,
        ControlNetModel,
        EulerDiscreteScheduler,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    from models.starter_image import words

    torch.manual_seed(0)
    tokenizer = words.build(1)
    texts = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=32,
        num_attention_heads=4,
        num_hidden_layers=2,
        projection_dim=32,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    denoiser = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        transformer_layers_per_block=(1, 2),
        cross_attention_dim=64,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=32 + 6 * 8,
    )
    autoencoder = AutoencoderKL(
        block_out_channels=[8] * 4,
        norm_num_groups=4,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        force_upcast=True,
    )
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        timestep_spacing="leading",
    )
    StableDiffusionXLPipeline(
        vae=autoencoder,
        text_encoder=CLIPTextModel(texts),
        text_encoder_2=CLIPTextModelWithProjection(texts),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=denoiser,
        scheduler=scheduler,
    ).save_pretrained(path / "weights")
    _save_controlnet(ControlNetModel, denoiser, path)
    return path


def _save_controlnet(kind, denoiser, path):
    net = kind.from_unet(denoiser, conditioning_embedding_out_channels=(8, 8, 16, 16))
    net.controlnet_down_blocks[0].weight.data.normal_(std=0.5)
    net.save_pretrained(path / "edges")


def _stable_diffusion(path):
    import torch
    from diffusers import ControlNetModel, StableDiffusionPipeline

    from models.starter_image import networks, words

    torch.manual_seed(0)
    tokenizer = words.build(1)
    denoiser = networks.new_denoiser()
    pipeline = StableDiffusionPipeline(
        vae=networks.new_autoencoder(),
        text_encoder=networks.new_text_encoder(tokenizer),
        tokenizer=tokenizer,
        unet=denoiser,
        scheduler=networks.scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(path / "weights")
    _save_controlnet(ControlNetModel, denoiser, path)
    return path


@pytest.fixture(scope="session")
def model(folder):
    return Image(
        ImageSettings(
            name="tiny",
            source=str(folder / "weights"),
            steps=STEPS,
            guidance=3,
            controlnets={"edges": str(folder / "edges")},
            batch_wait_ms=50,
            threads=1,
        )
    )


def call():
    return CallContext("request")


def file_of(pixels, kind="PNG", **options):
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, kind, **options)
    return PictureFile(data=file.getvalue())


def noise(height=96, width=96, channels=3):
    rng = np.random.default_rng(height * width)
    return rng.integers(0, 256, (height, width, channels), dtype=np.uint8)


CONTROL = base64.b64encode(file_of(noise()).data).decode()


def pictures(reply):
    return [opened(item["b64_json"]) for item in json.loads(reply.body)["data"]]


def opened(body):
    return Pillow.open(io.BytesIO(base64.b64decode(body)))


def pixels(picture):
    return np.asarray(picture.convert("RGB")).astype(int)


async def generate(model, context=None, **fields):
    request = ImageRequest(**({"prompt": "a red circle", "seed": 3} | fields))
    return await model.generate(request, context or call())


async def test_an_answer_is_openais_and_bills_what_it_says(model):
    context = call()
    reply = await generate(model, context, n=2)
    body = json.loads(reply.body)
    assert [picture.size for picture in pictures(reply)] == [(64, 64)] * 2
    assert body["size"] == "64x64"
    assert body["output_format"] == "png"
    assert [item["seed"] for item in body["data"]] == [3, 4]
    assert reply.units.pixel_steps == 2 * 64 * 64 * STEPS == context.done.pixel_steps
    assert body["usage"]["pixel_steps"] == reply.units.pixel_steps


@pytest.fixture
def company(model, monkeypatch):
    """The next batch waits for more, whatever came before and however busy the machine is."""
    monkeypatch.setattr(model.batcher, "_company", True)
    monkeypatch.setattr(model.batcher, "_wait_s", 0.5)


async def test_a_picture_does_not_depend_on_its_company(model):
    together = await asyncio.gather(*(generate(model, seed=seed) for seed in (1, 2, 3)))
    alone = [await generate(model, seed=seed) for seed in (1, 2, 3)]
    for one, other in zip(together, alone, strict=True):
        assert abs(pixels(pictures(one)[0]) - pixels(pictures(other)[0])).max() <= 2


async def test_pictures_that_arrive_together_are_drawn_together(model, company, monkeypatch):
    sizes, run = [], model.batcher._work

    def counted(batch):
        sizes.append(len(batch.jobs))
        return run(batch)

    monkeypatch.setattr(model.batcher, "_work", counted)
    await asyncio.gather(
        generate(model, n=2), generate(model, n=2), generate(model, steps=STEPS - 1)
    )
    assert sizes == [4, 1]


async def test_seeds_repeat_pictures_and_no_seed_does_not(model):
    once, again, other, free, freer = [
        (await generate(model, seed=seed)).body for seed in (7, 7, 8, None, None)
    ]
    first = json.loads(once)["data"][0]["b64_json"]
    assert json.loads(again)["data"][0]["b64_json"] == first
    assert json.loads(other)["data"][0]["b64_json"] != first
    assert json.loads(free)["data"][0]["seed"] != json.loads(freer)["data"][0]["seed"]


@pytest.mark.parametrize(
    ("size", "most_drawn"),
    [
        ("64x64", 64 * 64),
        ("1024x1024", 64 * 64),
        ("2048x64", 128 * 32),
        ("512x1024", 64 * 64 * 1.1),
    ],
)
async def test_any_size_is_delivered_and_large_ones_are_drawn_small(model, size, most_drawn):
    reply = await generate(model, size=size, steps=1)
    (picture,) = pictures(reply)
    assert f"{picture.width}x{picture.height}" == size
    assert reply.units.pixel_steps <= most_drawn


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
async def test_the_file_is_of_the_format_asked_for(model, kind):
    reply = await generate(model, output_format=kind, output_compression=70, steps=1)
    assert pictures(reply)[0].format == kind.upper()


async def test_quality_and_steps_change_the_work(model):
    low = await generate(model, quality="low")
    high = await generate(model, quality="high")
    own = await generate(model, quality="high", steps=1)
    each = 64 * 64
    assert [reply.units.pixel_steps // each for reply in (low, high, own)] == [2, 8, 1]


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("size", ["auto", "64x64", "1024x1536", "2048x2048"])
def test_the_estimate_is_never_below_the_work(model, n, size):
    request = ImageRequest(prompt="x", n=n, size=size, quality="high")
    order = model.orders.understood(request, call())
    width, height = order.kind.size
    estimate = SPEC.operations["generate"].estimate(request, CARD)
    assert estimate.pixel_steps >= width * height * order.kind.steps * n


async def test_a_mask_is_honoured_to_the_pixel(model):
    original = noise(96, 120)
    mask = np.zeros((96, 120, 4), np.uint8)
    mask[..., 3] = 255
    mask[20:70, 30:100, 3] = 0
    reply = await model.edit(
        ImageEditRequest(prompt="a star", image=file_of(original), mask=file_of(mask), seed=1),
        call(),
    )
    drawn, kept = pixels(pictures(reply)[0]), mask[..., 3] > 0
    assert (drawn[kept] == original[kept]).all()
    assert (drawn[~kept] != original[~kept]).mean() > 0.5


async def test_white_of_a_plain_mask_and_holes_of_a_picture_mean_the_same(model):
    original = noise(64, 64)
    plain = np.zeros((64, 64), np.uint8)
    plain[:32] = 255
    holes = np.dstack([original, 255 - plain])
    for request in (
        ImageEditRequest(prompt="x", image=file_of(original), mask=file_of(plain), steps=1),
        ImageEditRequest(prompt="x", image=file_of(holes), steps=1),
    ):
        drawn = pixels(pictures(await model.edit(request, call()))[0])
        assert (drawn[32:] == original[32:]).all()
        assert (drawn[:32] != original[:32]).any()


async def test_strength_says_how_much_an_edit_does(model):
    def request(strength):
        image = file_of(noise(64, 64) // 8 + 100)
        return ImageEditRequest(prompt="x", image=image, strength=strength, seed=1, steps=10)

    weak, strong = [await model.edit(request(strength), call()) for strength in (0.1, 1.0)]
    assert weak.units.pixel_steps == 64 * 64
    assert strong.units.pixel_steps == 10 * 64 * 64


async def test_an_edit_keeps_the_size_of_its_picture(model):
    for height, width in ((96, 160), (33, 20), (8, 400), (1, 1)):
        request = ImageEditRequest(prompt="x", image=file_of(noise(height, width)), steps=2)
        (picture,) = pictures(await model.edit(request, call()))
        assert picture.size == (width, height)


async def test_variations_are_many_and_differ(model):
    request = ImageVariationRequest(image=file_of(noise()), n=2, seed=1)
    first, second = pictures(await model.vary(request, call()))
    assert (pixels(first) != pixels(second)).any()


async def test_a_controlnet_is_followed_by_name(model):
    control = base64.b64encode(file_of(noise(64, 64)).data).decode()
    plain, led = [
        pixels(pictures(await generate(model, **more))[0])
        for more in ({}, {"controlnet": "edges", "control_image": control})
    ]
    assert (plain != led).any()


async def test_styles_change_the_prompt(model):
    plain, styled = [
        pictures(await generate(model, **more))[0] for more in ({}, {"style": "watercolor"})
    ]
    assert (pixels(plain) != pixels(styled)).any()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"lora": "nope"}, "lora"),
        ({"controlnet": "nope"}, "controlnet"),
        ({"controlnet": "edges"}, "control_image"),
        ({"control_image": CONTROL}, "control_image"),
        ({"controlnet": "edges", "control_image": CONTROL[:80]}, "control_image"),
    ],
)
async def test_what_the_model_lacks_is_named(model, fields, param):
    with pytest.raises(InvalidRequest) as raised:
        await generate(model, **fields)
    assert raised.value.param == param


async def test_a_truncated_upload_is_refused_by_name(model):
    image = PictureFile(data=file_of(noise()).data[:200])
    for run, request in (
        (model.edit, ImageEditRequest(prompt="x", image=image)),
        (model.vary, ImageVariationRequest(image=image)),
    ):
        with pytest.raises(InvalidRequest) as raised:
            await run(request, call())
        assert raised.value.param == "image"


@pytest.mark.parametrize(
    "image",
    [
        PictureFile(data=b"not a picture"),
        PictureFile(data=file_of(noise(), "JPEG").data, media_type="image/png"),
        PictureFile(data=file_of(np.zeros((5000, 5000), np.uint8)).data),
        PictureFile(data=b""),
    ],
)
def test_what_is_no_picture_is_not_even_a_request(image):
    with pytest.raises(ValidationError, match="image"):
        ImageVariationRequest(image=image)


@pytest.mark.parametrize(
    "mask", [noise(64, 64, 4), np.zeros((96, 96), np.uint8), np.full((96, 96, 4), 255, np.uint8)]
)
async def test_bad_masks_are_refused_by_name(model, mask):
    request = ImageEditRequest(prompt="x", image=file_of(noise()), mask=file_of(mask))
    with pytest.raises(InvalidRequest) as raised:
        await model.edit(request, call())
    assert raised.value.param == "mask"


async def events_of(model, **fields):
    request = ImageRequest(**({"prompt": "x", "stream": True, "seed": 1} | fields))
    context = call()
    chunks = [chunk async for chunk in model.generate_stream(request, context)]
    events = [json.loads(chunk.data.split(b"data: ")[1]) for chunk in chunks]
    names = [chunk.data.split(b"\n")[0].removeprefix(b"event: ").decode() for chunk in chunks]
    assert [event["type"] for event in events] == names
    return events, chunks


async def test_in_half_precision_nothing_is_decoded_that_would_be_black(folder, monkeypatch):
    half = Image(
        ImageSettings(
            name="half", source=str(folder / "weights"), steps=STEPS, dtype="float16", threads=1
        )
    )
    vae = half.pipelines.text.vae
    decode, precisions = vae.decode, []

    def watched(latents, **options):
        precisions.append(str(vae.dtype))
        return decode(latents, **options)

    monkeypatch.setattr(vae, "decode", watched)
    events, _ = await events_of(half, partial_images=2)
    assert vae.config.force_upcast
    assert precisions[:2] == ["torch.float32"] * 2, "the last is the pipeline's own"
    assert str(vae.dtype) == "torch.float16", "for the next picture's memory"
    for event in events:
        assert np.asarray(opened(event["b64_json"])).std() > 0


async def test_a_stream_previews_and_completes(model):
    events, chunks = await events_of(model, partial_images=2)
    kinds = [event["type"].removeprefix("image_generation.") for event in events]
    assert kinds == ["partial_image", "partial_image", "completed"]
    assert [event.get("partial_image_index") for event in events] == [0, 1, None]
    assert all(opened(event["b64_json"]).size == (64, 64) for event in events)
    assert events[-1]["usage"]["pixel_steps"] == chunks[-1].units.pixel_steps == 64 * 64 * STEPS
    whole = await generate(model, prompt="x", seed=1)
    assert events[-1]["b64_json"] == json.loads(whole.body)["data"][0]["b64_json"]


async def test_a_stream_tells_steps_where_asked(model):
    events, _ = await events_of(model, progress=True)
    assert [event["step"] for event in events[:-1]] == [1, 2, 3, 4]


async def test_a_caller_that_goes_away_stops_the_drawing_and_is_billed_to_there(model):
    context = call()
    request = ImageRequest(prompt="x", stream=True, progress=True, steps=100)
    stream = model.generate_stream(request, context)
    await anext(stream)
    await stream.aclose()
    after = await generate(model)  # the worker is free again, long before step 100
    assert pictures(after)
    assert 64 * 64 <= context.done.pixel_steps < 100 * 64 * 64


async def test_a_cancelled_request_frees_the_worker(model, monkeypatch):
    context, started = call(), threading.Event()
    count = model._count_step

    def counted(job, kind):
        count(job, kind)
        started.set()

    monkeypatch.setattr(model, "_count_step", counted)
    task = asyncio.ensure_future(generate(model, context, steps=100, n=4))
    await asyncio.to_thread(started.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await generate(model, steps=1)
    assert context.done.pixel_steps < 4 * 100 * 64 * 64


async def test_a_lora_is_used_where_named_and_leaves_no_trace(folder):
    pytest.importorskip("peft")
    import torch
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    source = StableDiffusionPipeline.from_pretrained(folder / "weights", dtype=torch.float32)
    source.unet.add_adapter(
        LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False)
    )
    StableDiffusionPipeline.save_lora_weights(
        folder / "lora", unet_lora_layers=get_peft_model_state_dict(source.unet)
    )
    model = Image(
        ImageSettings(
            name="tiny",
            source=str(folder / "weights"),
            steps=STEPS,
            loras={"other": str(folder / "lora")},
        )
    )
    before, with_it, half, after = [
        pixels(pictures(await generate(model, **more))[0])
        for more in ({}, {"lora": "other"}, {"lora": "other", "lora_scale": 0.5}, {})
    ]
    assert (before != with_it).any()
    assert (half != with_it).any()
    assert (before == after).all()


def test_weights_that_are_not_there_are_a_settings_error(tmp_path):
    with pytest.raises(SettingsError):
        Image(ImageSettings(name="x", source=str(tmp_path)))


async def test_callers_of_one_batch_share_the_engines_time_by_their_pictures(model, company):
    one, two = call(), call()
    started = time.perf_counter()
    await asyncio.gather(generate(model, one), generate(model, two, n=2))
    assert two.device_s == pytest.approx(2 * one.device_s, rel=0.05)
    assert 0 < one.device_s + two.device_s <= time.perf_counter() - started
