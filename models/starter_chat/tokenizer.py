"""The tokenizer: byte-level BPE trained on the corpus, every digit a token of its own.

All 256 bytes are in the vocabulary, so any text round-trips. Role tokens are special;
``<tool_call>`` is an ordinary added token, because tool parsers read it from the decoded text.
"""

import functools
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from models.starter_chat import CHAT_TEMPLATE
from models.starter_chat.conversation import CALL_TOKENS, END, PAD, ROLE_TOKENS, render
from models.starter_chat.corpus import long_training, training

VOCABULARY = 1536
SAMPLE = 30_000
SPECIAL = (PAD, END, *ROLE_TOKENS.values())
CONTEXT = 2048


def sample_texts(seed: int, count: int = SAMPLE) -> Iterator[str]:
    """Message texts without role tokens: what the merges are learnt from."""
    marks = (*SPECIAL, *CALL_TOKENS)
    conversations = training(seed)
    background = long_training(seed, most_turns=4)
    for i in range(count):
        conversation = next(background) if i % 40 == 0 else next(conversations)
        for text, _ in render(conversation):
            yield functools.reduce(lambda left, mark: left.replace(mark, ""), marks, text)


def build(seed: int) -> Tokenizer:
    """Train the merges; takes some ten seconds."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(CALL_TOKENS),
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=20,
    )
    tokenizer.train_from_iterator(sample_texts(seed), trainer)
    tokenizer.add_tokens([AddedToken(mark, normalized=False) for mark in CALL_TOKENS])
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja."""
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        model_max_length=CONTEXT,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE.read_text()
    fast.save_pretrained(folder)
