"""Vision requests: `/v1/images/descriptions`, and chats with pictures.

Place in the path: parsed once by the gateway (step 1); vision models receive the same types. The
picture is bytes from here on. It checks shape, sizes and what the header says; whether the
picture can be decoded is the model's to find out.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.chat import BYTES_PER_TOKEN, ChatRequest, estimate_chat
from core.model import ModelCard
from core.pictures import Header, PictureField, picture_bytes, picture_header
from core.work import WorkUnits

MAX_QUESTION = 8_000
DEFAULT_OUTPUT_TOKENS = 256
LEAST_PICTURE_TOKENS = 2_880
"""What a small picture costs at most in the models served here: LLaVA-NeXT's five tiles of 576."""
PIXELS_PER_TOKEN = 14 * 14
"""Lower bound of pixels per token of models that keep a picture's size (ViT patches of 14)."""
TEMPLATE_TOKENS = 64
HEADER_BYTES = 2**16


class DescriptionRequest(BaseModel):
    """POST /v1/images/descriptions."""

    model_config = ConfigDict(extra="forbid", ser_json_bytes="base64")

    image: PictureField
    model: str | None = None
    task: Literal["caption", "ocr", "question"] = "caption"
    question: str | None = Field(None, min_length=1, max_length=MAX_QUESTION)
    max_tokens: int | None = Field(None, ge=1, le=10_000_000)
    stream: bool | None = None
    user: str | None = None

    @model_validator(mode="after")
    def _fields_fit_the_task(self) -> "DescriptionRequest":
        if self.task == "question" and self.question is None:
            raise ValueError("the task 'question' needs a 'question'")
        if self.task != "question" and self.question is not None:
            raise ValueError("'question' is only allowed when 'task' is 'question'")
        if self.task == "ocr" and self.max_tokens is not None:
            raise ValueError("'max_tokens' is not allowed when 'task' is 'ocr'")
        return self


def estimate_description(request: DescriptionRequest, card: ModelCard) -> WorkUnits:
    """Reading text costs its pixels, once; words about a picture cost tokens."""
    header = picture_header(request.image)
    if request.task == "ocr":
        return WorkUnits(pixel_steps=header.pixels)
    asked = len((request.question or "").encode()) // BYTES_PER_TOKEN + TEMPLATE_TOKENS
    output = request.max_tokens or card.max_output_tokens or DEFAULT_OUTPUT_TOKENS
    window = card.context_window or 2**31
    return WorkUnits(
        input_tokens=min(window, asked + picture_tokens(header)),
        output_tokens=min(window, output),
    )


def estimate_vision_chat(request: ChatRequest, card: ModelCard) -> WorkUnits:
    """As `estimate_chat`, and what its pictures may cost."""
    text = estimate_chat(request, card)
    pictures = sum(
        picture_tokens(_header(part))
        for message in request.messages
        if isinstance(message.content, list)
        for part in message.content
        if "image_url" in part
    )
    window = card.context_window or 2**31
    return WorkUnits(
        input_tokens=min(window, text.input_tokens + pictures), output_tokens=text.output_tokens
    )


def picture_tokens(header: Header | None) -> int:
    """Upper bound of the tokens that a picture becomes."""
    pixels = header.pixels if header else 0
    return max(LEAST_PICTURE_TOKENS, pixels // PIXELS_PER_TOKEN)


def _header(part: dict[str, Any]) -> Header | None:
    """Size by the first bytes alone; None when they do not say (the model judges the rest)."""
    media = part["image_url"]
    url = str(media.get("url") if isinstance(media, dict) else media)
    start, comma, text = url[: HEADER_BYTES * 4 // 3].partition(",")
    whole = len(text) // 4 * 4
    try:
        return picture_header(picture_bytes(f"{start}{comma}{text[:whole]}"))
    except ValueError:
        return None
