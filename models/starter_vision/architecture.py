"""The model: CLIP's picture encoder, a projector and a Llama decoder, in LLaVA's layout.

64 x 64 pixels in patches of 8 become 64 tokens of the decoder. `save` writes the folder that
`AutoModelForImageTextToText` and `AutoProcessor` load; torchvision is not needed.
"""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from models.starter_vision import CHAT_TEMPLATE
from models.starter_vision.tokenizer import CONTEXT, END, IMAGE, PAD, fast

SIDE = 64
PATCH = 8
MEAN = STD = (0.5, 0.5, 0.5)
VISION = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "projection_dim": 128,
}
TEXT = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}


def new_model(tokenizer: Tokenizer) -> LlavaForConditionalGeneration:
    """Random weights."""
    end, pad = tokenizer.token_to_id(END), tokenizer.token_to_id(PAD)
    text = LlamaConfig(
        **TEXT,
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
    )
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION, image_size=SIDE, patch_size=PATCH),
        text_config=text,
        image_token_index=tokenizer.token_to_id(IMAGE),
        image_seq_length=(SIDE // PATCH) ** 2,
        vision_feature_layer=-1,
        tie_word_embeddings=True,
    )
    # The fused attention is slow backwards for short rows on CPU; plain products are faster.
    config._attn_implementation = "eager"  # noqa: SLF001  (transformers' own way to choose)
    return LlavaForConditionalGeneration(config)


def processor(tokenizer: Tokenizer) -> LlavaProcessor:
    """Picture and text to tensors; what the folder's `AutoProcessor` becomes."""
    size = {"height": SIDE, "width": SIDE}
    pictures = CLIPImageProcessorPil(
        size=size, do_center_crop=False, image_mean=list(MEAN), image_std=list(STD)
    )
    return LlavaProcessor(
        image_processor=pictures,
        tokenizer=fast(tokenizer),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,  # CLIP's class token, which "default" drops again
        chat_template=CHAT_TEMPLATE.read_text(),
    )


def save(model: LlavaForConditionalGeneration, tokenizer: Tokenizer, folder: Path) -> None:
    """Weights in fp16, configuration, processor, tokenizer and template. Safetensors only."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = LlavaForConditionalGeneration(model.config).to(torch.float16)
    copy.load_state_dict({k: v.to(torch.float16) for k, v in model.state_dict().items()})
    copy.tie_weights()
    copy.generation_config = GenerationConfig(
        do_sample=False,
        eos_token_id=tokenizer.token_to_id(END),
        pad_token_id=tokenizer.token_to_id(PAD),
    )
    copy.save_pretrained(folder)
    processor(tokenizer).save_pretrained(folder)
