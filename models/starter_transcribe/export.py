"""Export: the trained network as the files that faster-whisper opens.

CTranslate2's own converter reads transformers' Whisper; the network here has the same layers under
the same names, so its pieces are handed to the same code.
"""

import json
import shutil
import tempfile
from pathlib import Path

from ctranslate2.converters.transformers import WhisperLoader
from ctranslate2.specs import WhisperSpec
from torch import nn

from models.starter_transcribe import vocabulary
from models.starter_transcribe.network import Whisper
from models.starter_transcribe.utterances import CHUNK_S


def export(model: Whisper, folder: Path) -> None:
    """Write model.bin (fp16), config.json, vocabulary.json, tokenizer.json and
    preprocessor_config.json; what `folder` held is replaced at the end.
    """
    shape = model.shape
    spec = WhisperSpec(shape.encoder_layers, shape.heads, shape.decoder_layers, shape.heads)
    loader = WhisperLoader()
    loader.set_encoder(spec.encoder, model.encoder)
    loader.set_decoder(spec.decoder, model.decoder)
    projection = nn.Linear(shape.width, shape.vocabulary, bias=False)
    projection.weight = model.decoder.embed_tokens.weight
    loader.set_linear(spec.decoder.projection, projection)
    tokenizer = vocabulary.build()
    spec.register_vocabulary(vocabulary.token_list(tokenizer))
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = []
    spec.config.lang_ids = []
    # The last decoder layer's heads say when each word was heard.
    spec.config.alignment_heads = [[shape.decoder_layers - 1, head] for head in range(shape.heads)]
    spec.validate()
    spec.optimize(quantization="float16")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        spec.save(made)
        vocabulary.save(tokenizer, Path(made))
        (Path(made) / "preprocessor_config.json").write_text(vocabulary.preprocessor(CHUNK_S))
        folder.mkdir(exist_ok=True)
        for file in Path(made).iterdir():
            shutil.move(file, folder / file.name)
    json.loads((folder / "config.json").read_text())
