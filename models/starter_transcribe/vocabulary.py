"""Words and tokens of starter-transcribe.

Every word, with the blank before it, is one token of a byte-level BPE whose only merges spell the
words: the decoder takes one step a word, and any other text still has an encoding. Token ids are in
Whisper's order: text, `<|endoftext|>`, the other marks, `<|notimestamps|>`, then times of 20 ms.
"""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COLOURS = ("red", "green", "blue", "yellow", "black", "white", "orange", "purple")
SHAPES = ("circle", "square", "triangle", "star")
ACTIONS = ("start", "stop", "play", "pause", "open", "close", "turn", "move", "make", "draw")
WAYS = ("up", "down", "left", "right", "on", "off")
THINGS = ("light", "door", "music", "window")
REST = ("yes", "no", "the", "and", "please", "next", "louder", "again")
WORDS = DIGITS + COLOURS + SHAPES + ACTIONS + WAYS + THINGS + REST

END = "<|endoftext|>"
START = "<|startoftranscript|>"
PREVIOUS = "<|startofprev|>"
SILENCE = "<|nospeech|>"
NO_TIMES = "<|notimestamps|>"
MARKS = (
    END,
    START,
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    PREVIOUS,
    SILENCE,
    NO_TIMES,
)
TIME_STEP_S, LEARNT_STEP_S = 0.02, 0.1
TIMES = tuple(f"<|{index * TIME_STEP_S:.2f}|>" for index in range(1501))


def build() -> Tokenizer:
    """The tokenizer, made from the words alone."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: index for index, character in enumerate(alphabet)}
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        spelt = "\u0120"  # how byte-level BPE writes a blank
        for letter in word:
            if spelt + letter not in vocabulary:
                merges.append((spelt, letter))
                vocabulary[spelt + letter] = len(vocabulary)
            spelt += letter
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in MARKS])
    tokenizer.add_special_tokens([AddedToken(time, special=True) for time in TIMES])
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """`tokenizer.json`; CTranslate2's list of tokens is written with the weights."""
    tokenizer.save(str(folder / "tokenizer.json"))


def token_list(tokenizer: Tokenizer) -> list[str]:
    """Every token by its id."""
    return [str(tokenizer.id_to_token(index)) for index in range(tokenizer.get_vocab_size())]


def id_of(tokenizer: Tokenizer, token: str) -> int:
    """The id of a token that there is."""
    found = tokenizer.token_to_id(token)
    if found is None:
        raise KeyError(token)
    return int(found)


def time_token(seconds: float) -> str:
    """The nearest time mark of a tenth of a second, at most 30 s.

    All marks exist, as Whisper has them; the finer ones are more than so few examples can teach.
    """
    tenths = round(seconds / LEARNT_STEP_S)
    index = tenths * round(LEARNT_STEP_S / TIME_STEP_S)
    return TIMES[min(len(TIMES) - 1, max(0, index))]


def preprocessor(chunk_s: int) -> str:
    """`preprocessor_config.json`, as faster-whisper reads it."""
    return json.dumps(
        {
            "feature_size": 80,
            "sampling_rate": 16000,
            "hop_length": 160,
            "chunk_length": chunk_s,
            "n_fft": 400,
        },
        indent=2,
    )
