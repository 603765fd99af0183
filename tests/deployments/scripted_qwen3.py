"""Qwen3 with a script: the architecture and files of the GPU configuration's chat models, whose
weights are written so that what each token is followed by is known.

Its layers add nothing to what they are given, so the last token alone decides: the output layer has
at each token's row what the embedding has at the row of the token before it.
"""

from itertools import pairwise
from pathlib import Path

from tests.deployments.byte_tokenizer import byte_tokenizer

THOUGHT = "I need the weather"
SAID = " It is cold."
CALL = ("weather", {"city": "Oslo"})
MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CALLS = (
    *("\n", "<think>", "I need", " the weather", "</think>", "<tool_call>", '\n{"name": '),
    *('"weather"', ', "arguments": ', '{"city": ', '"Oslo"', "}}\n", "</tool_call>", "<|im_end|>"),
)
"""What it says to a prompt that ends with a line's end: a thought, and a call."""
ANSWERS = ("\n\n", " It", " is", " cold.", "<|im_end|>")
"""What it says where thinking is off, as Qwen3's template says that: to an empty thought."""
TEMPLATE = """{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think>

</think>

{% endif %}"""
WIDTH = 128
WINDOW = 1024


def write(folder: Path) -> None:
    """A directory that `source` of a language model can name."""
    tokenizer = byte_tokenizer(MARKS, [*CALLS[1:-1], *ANSWERS[:-1]])
    tokenizer.save_pretrained(folder)
    _network(tokenizer).save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)


def _network(tokenizer):
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=WINDOW,
        tie_word_embeddings=False,
    )
    network = Qwen3ForCausalLM(config)
    embedded = torch.randn(len(tokenizer), WIDTH)
    follows = torch.zeros_like(embedded)
    for script in (CALLS, ANSWERS):
        for before, after in pairwise(_number(tokenizer, word) for word in script):
            follows[after] += embedded[before]
    with torch.no_grad():
        network.model.embed_tokens.weight.copy_(embedded)
        network.lm_head.weight.copy_(follows)
        for layer in network.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
    network.generation_config.eos_token_id = tokenizer.eos_token_id
    return network.to(torch.bfloat16)


def _number(tokenizer, word: str) -> int:
    (number,) = tokenizer.encode(word)
    return int(number)
