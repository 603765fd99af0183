"""Other Whisper models by directory: a multilingual one finds the language out. Untrained."""

import json

import numpy as np
import orjson
import pytest

from core.model import CallContext
from core.transcription import TranscriptionRequest, TranslationRequest
from deployments.transcription import Transcription, TranscriptionSettings
from tests.deployments.sounds import encoded, tone

WIDTH, HEADS, FRAMES = 16, 2, 1500


@pytest.fixture(scope="module", params=[(99, 80), (100, 128)], ids=["large-v2", "large-v3"])
def multilingual(tmp_path_factory, request):
    """A network of a few units with the vocabulary of OpenAI's multilingual models, and what they
    hear: bands of frequency.
    """
    count, mels = request.param
    import torch
    from ctranslate2.converters.transformers import WhisperLoader
    from ctranslate2.specs import WhisperSpec
    from faster_whisper.tokenizer import _LANGUAGE_CODES
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    from models.starter_transcribe.network import Shape, Whisper

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    # OpenAI's multilingual vocabulary ends in an empty token; CTranslate2 knows it by that.
    text = [*alphabet, *(f"word{n}" for n in range(50256 - len(alphabet))), ""]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(text)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    marks = ["<|endoftext|>", "<|startoftranscript|>"]
    marks += [f"<|{code}|>" for code in _LANGUAGE_CODES[:count]]
    marks += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"]
    marks += ["<|nospeech|>", "<|notimestamps|>"]
    marks += [f"<|{n * 0.02:.2f}|>" for n in range(1501)]
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in marks])
    size = tokenizer.get_vocab_size()

    torch.manual_seed(3)
    model = Whisper(Shape(size, 1, WIDTH, HEADS, 1, 1, mels=mels))
    spec, loader = WhisperSpec(1, HEADS, 1, HEADS), WhisperLoader()
    loader.set_encoder(spec.encoder, model.encoder)
    loader.set_decoder(spec.decoder, model.decoder)
    out = torch.nn.Linear(WIDTH, size, bias=False)
    out.weight = model.decoder.embed_tokens.weight
    loader.set_linear(spec.decoder.projection, out)
    spec.register_vocabulary([tokenizer.id_to_token(n) for n in range(size)])
    spec.config.lang_ids = list(range(50259, 50259 + count))
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = []
    spec.config.alignment_heads = [[0, 0], [0, 1]]
    spec.validate()
    folder = tmp_path_factory.mktemp("whisper")
    spec.save(str(folder))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": mels}))
    return Transcription(
        TranscriptionSettings(name="m", source=str(folder), cpu_threads=1, beam_size=1)
    )


def sound():
    return encoded(np.concatenate([tone(1.0), tone(1.0, pitch=600)]))


async def test_the_language_is_found_out_when_the_caller_does_not_say(multilingual):
    request = TranscriptionRequest(file=sound(), response_format="verbose_json", temperature=0.1)
    answer = orjson.loads((await multilingual.transcribe(request, CallContext("r"))).body)
    assert answer["language"] in multilingual.languages
    assert len(multilingual.languages) >= 99
    assert answer["task"] == "transcribe"


async def test_the_language_is_what_the_caller_says(multilingual):
    request = TranscriptionRequest(
        file=sound(), response_format="verbose_json", temperature=0.1, language="DE"
    )
    answer = orjson.loads((await multilingual.transcribe(request, CallContext("r"))).body)
    assert answer["language"] == "de"


async def test_it_translates(multilingual):
    request = TranslationRequest(file=sound(), response_format="verbose_json", temperature=0.1)
    answer = orjson.loads((await multilingual.translate(request, CallContext("r"))).body)
    assert answer["task"] == "translate"
