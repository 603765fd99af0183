"""The text side of starter-image: a CLIP tokenizer of its own, made from the captions.

Byte-level BPE with CLIP's end-of-word mark, so that any text has tokens; a few hundred pieces are
enough for captions in which few words occur.
"""

from typing import Any

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.normalizers import NFC, Lowercase, Sequence
from tokenizers.pre_tokenizers import ByteLevel, Split
from tokenizers.pre_tokenizers import Sequence as Splits
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer

from models.starter_image.scenes import caption, random_scene, split

START, END = "<|startoftext|>", "<|endoftext|>"
PIECES = 640
CONTEXT = 32
"""Tokens of a prompt, marks included; what is longer is cut, as by every CLIP text encoder."""
SAMPLE = 20_000
PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def build(seed: int) -> CLIPTokenizer:
    """A tokenizer whose pieces come from captions."""
    rng = np.random.default_rng(seed)
    allowed, _ = split()
    texts = [caption(random_scene(rng, allowed), rng).lower() for _ in range(SAMPLE)]
    raw = Tokenizer(BPE(end_of_word_suffix="</w>"))
    raw.normalizer = Sequence([NFC(), Lowercase()])
    raw.pre_tokenizer = Splits(
        [Split(_regex(), behavior="removed", invert=True), ByteLevel(add_prefix_space=False)]
    )
    trainer = BpeTrainer(
        vocab_size=PIECES,
        special_tokens=[START, END],
        initial_alphabet=ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    raw.train_from_iterator(texts, trainer)
    return _as_clip(raw)


def _regex() -> Any:
    from tokenizers import Regex

    return Regex(PATTERN)


def _as_clip(raw: Tokenizer) -> CLIPTokenizer:
    """The same pieces as the class that diffusers pipelines expect."""
    import json

    model = json.loads(raw.to_str())["model"]
    vocabulary: dict[str, int] = dict(model["vocab"])
    for piece in [*ByteLevel.alphabet()]:
        # CLIP needs each byte in both forms: inside a word and at its end.
        vocabulary.setdefault(piece + "</w>", len(vocabulary))
    merges = [tuple(pair) for pair in model["merges"]]
    return CLIPTokenizer(
        vocab=vocabulary,
        merges=merges,
        unk_token=END,
        bos_token=START,
        eos_token=END,
        pad_token=END,
        model_max_length=CONTEXT,
    )
