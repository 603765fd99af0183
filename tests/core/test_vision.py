"""Vision requests: which fields go together, and what is reserved."""

import base64
import io

import pytest
from PIL import Image
from pydantic import ValidationError

from core.chat import TOKENS_PER_PART, ChatRequest
from core.model import ModelCard
from core.vision import DescriptionRequest, estimate_description, estimate_vision_chat

CARD = ModelCard(id="m", spec="x:SPEC", context_window=8_000, max_output_tokens=100)


def picture(side=100):
    file = io.BytesIO()
    Image.new("RGB", (side, side)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def request(**fields):
    return DescriptionRequest.model_validate({"image": picture()} | fields)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"task": "question"}, "needs a 'question'"),
        ({"question": "What?"}, "only allowed when"),
        ({"task": "ocr", "question": "What?"}, "only allowed when"),
        ({"task": "ocr", "max_tokens": 5}, "not allowed when"),
        ({"task": "draw"}, "literal_error"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"prompt": "x"}, "extra_forbidden"),
        ({"image": None}, "image"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(fields, reason):
    with pytest.raises(ValidationError, match=reason):
        request(**fields)


def test_form_fields_are_numbers_and_truths_too():
    parsed = request(max_tokens="7", stream="true")
    assert (parsed.max_tokens, parsed.stream) == (7, True)


def test_two_pictures_are_two_cache_keys():
    assert request().model_dump_json() != request(image=picture(101)).model_dump_json()
    assert request().model_dump_json() == request().model_dump_json()


def test_reading_is_reserved_by_its_pixels_and_words_by_tokens():
    units = estimate_description(request(task="ocr"), CARD)
    assert units.nonzero() == {"pixel_steps": 10_000}
    units = estimate_description(request(max_tokens=7), CARD)
    assert (units.output_tokens, units.pixel_steps) == (7, 0)
    assert 2_880 <= units.input_tokens <= 3_000
    assert estimate_description(request(), CARD).output_tokens == 100


def test_a_large_picture_reserves_more_but_never_more_than_the_window():
    units = estimate_description(request(image=picture(1000)), CARD)
    assert 1_000_000 // 196 <= units.input_tokens <= 8_000
    assert estimate_description(request(image=picture(4000)), CARD).input_tokens == 8_000


def test_each_picture_of_a_chat_is_reserved_broken_ones_too():
    def chat(*urls):
        parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        content = [{"type": "text", "text": "What?"}, *parts]
        return ChatRequest.model_validate({"messages": [{"role": "user", "content": content}]})

    card = CARD.model_copy(update={"context_window": 100_000})
    text = estimate_vision_chat(chat(), card).input_tokens
    url = f"data:image/png;base64,{picture()}"
    small, middling = 2_880 + TOKENS_PER_PART, 10_000 + TOKENS_PER_PART
    assert estimate_vision_chat(chat(url, url), card).input_tokens == text + 2 * small
    assert estimate_vision_chat(chat("data:,x"), card).input_tokens == text + small
    large = f"data:image/png;base64,{picture(1400)}"
    assert estimate_vision_chat(chat(large), card).input_tokens == text + middling
