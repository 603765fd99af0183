"""Other vision models by directory: Qwen3-VL, the GPU configuration's, untrained, in its layout."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deployments.vision import Vision, VisionSettings
from tests.deployments.byte_tokenizer import byte_tokenizer
from tests.deployments.test_vision import OTHER, SEEN, ask, call, chat, describe

MARKS = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"),
    *("<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
)
TEMPLATE = """{% for message in messages %}<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}
{%- if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}
{%- endif %}{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
WINDOW = 1024


def _network(tokenizer):
    import torch
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    number = dict(zip(MARKS, tokenizer.convert_tokens_to_ids(list(MARKS)), strict=True))
    torch.manual_seed(0)
    model = Qwen3VLForConditionalGeneration(
        Qwen3VLConfig(
            text_config={
                "vocab_size": len(tokenizer),
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 3,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "head_dim": 8,
                "max_position_embeddings": WINDOW,
                "rope_parameters": {
                    "rope_type": "default",
                    "rope_theta": 5_000_000.0,
                    "mrope_section": [2, 1, 1],
                    "mrope_interleaved": True,
                },
            },
            vision_config={
                "depth": 3,
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_heads": 4,
                "patch_size": 16,
                "out_hidden_size": 32,
                "num_position_embeddings": 256,
                "deepstack_visual_indexes": [0, 1, 2],
            },
            image_token_id=number["<|image_pad|>"],
            video_token_id=number["<|video_pad|>"],
            vision_start_token_id=number["<|vision_start|>"],
            vision_end_token_id=number["<|vision_end|>"],
            tie_word_embeddings=True,
        )
    )
    model.generation_config.eos_token_id = number["<|im_end|>"]
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path: Path = tmp_path_factory.mktemp("qwen3-vl")
    tokenizer = byte_tokenizer(MARKS)
    tokenizer.save_pretrained(path)
    _network(tokenizer).save_pretrained(path)
    pictures = {
        "image_processor_type": "Qwen2VLImageProcessorFast",
        "patch_size": 16,
        "size": {"shortest_edge": 32 * 32, "longest_edge": 256 * 256},
    }
    (path / "preprocessor_config.json").write_text(json.dumps(pictures))
    (path / "chat_template.jinja").write_text(TEMPLATE)
    return path


@pytest.fixture
async def vision(folder, monkeypatch) -> AsyncIterator[Vision]:
    from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer
    from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor

    class WithoutFilms(Qwen3VLProcessor):  # type: ignore[misc]
        """What reads films needs torchvision, which has no build for torch on a CPU."""

        def check_argument_for_proper_class(self, name, argument):
            return type(argument)

    def loaded(source, **options):
        pictures = AutoImageProcessor.from_pretrained(source, **options)
        tokenizer = AutoTokenizer.from_pretrained(source)
        return WithoutFilms(pictures, tokenizer, None, chat_template=TEMPLATE)

    monkeypatch.setattr(AutoProcessor, "from_pretrained", loaded)
    settings = VisionSettings(name="vl", source=str(folder), threads=1)
    model = Vision(settings)
    await model.start()
    yield model
    await model.stop()


def text_of(reply):
    return json.loads(reply.body)["choices"][0]["message"]["content"]


async def test_it_describes_and_answers_within_its_limit(vision):
    for request in (describe(max_tokens=7), ask(SEEN, "What is it?", max_tokens=7)):
        body = json.loads((reply := await vision.describe(request, call())).body)
        assert (body["object"], body["model"]) == ("image.description", "vl")
        assert 0 < body["usage"]["output_tokens"] <= 7
        assert reply.units.output_tokens == body["usage"]["output_tokens"]


async def test_the_answer_depends_on_the_picture_and_not_on_its_company(vision):
    requests = [
        chat(question, scene, max_tokens=8, temperature=1.0, seed=1)
        for scene, question in ((SEEN, "What?"), (OTHER, "What?"), (SEEN, "And which colour?"))
    ]
    together = await asyncio.gather(*(vision.chat(each, call()) for each in requests))
    alone = [await vision.chat(each, call()) for each in requests]
    assert [text_of(reply) for reply in together] == [text_of(reply) for reply in alone]
    assert len({text_of(reply) for reply in alone}) == 3
    assert [reply.units for reply in together] == [reply.units for reply in alone]


async def test_a_chat_takes_several_pictures_and_streams(vision):
    one, two = [
        json.loads((await vision.chat(chat("Both?", *scenes, max_tokens=4), call())).body)
        for scenes in ((SEEN,), (SEEN, OTHER))
    ]
    assert two["usage"]["prompt_tokens"] > one["usage"]["prompt_tokens"]
    pieces = [
        piece.data
        async for piece in vision.describe_stream(describe(max_tokens=5, stream=True), call())
    ]
    assert b"image.description.done" in pieces[-1] or b"image.description.done" in pieces[-2]
