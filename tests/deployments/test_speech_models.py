"""Other Coqui models by directory: another architecture, another language, untrained."""

import orjson
import pytest

from core.errors import InvalidRequest
from core.model import CallContext
from core.speech import SpeechRequest, VoicesRequest
from deployments.speech import Speech, SpeechSettings
from models import coqui


@pytest.fixture(scope="module")
def german(tmp_path_factory):
    """A tiny VITS, the architecture of most of Coqui's published voices, with random weights."""
    coqui.prepare()
    import torch
    from TTS.tts.configs.vits_config import VitsArgs, VitsConfig
    from TTS.tts.models.vits import Vits

    torch.manual_seed(1)
    arguments = VitsArgs(
        hidden_channels=32,
        hidden_channels_ffn_text_encoder=32,
        num_layers_text_encoder=1,
        num_layers_flow=1,
        num_layers_posterior_encoder=1,
        upsample_initial_channel_decoder=64,
        use_speaker_embedding=True,
        init_discriminator=False,
    )
    config = VitsConfig(
        model_args=arguments,
        speakers=["ann", "bob"],
        use_speaker_embedding=True,
        use_phonemes=True,
        phonemizer="espeak",
        phoneme_language="de",
        text_cleaner="multilingual_phoneme_cleaners",
    )
    folder = tmp_path_factory.mktemp("vits")
    model = Vits(config)
    torch.save({"model": model.state_dict()}, folder / "best_model.pth")
    model.config.save_json(str(folder / "config.json"))
    return Speech(SpeechSettings(name="german", source=str(folder), threads=1))


async def test_its_voices_and_language_are_found(german):
    answer = orjson.loads((await german.list_voices(VoicesRequest(), CallContext("r"))).body)
    assert [(voice["id"], voice["languages"]) for voice in answer["data"]] == [
        ("ann", ["de"]),
        ("bob", ["de"]),
    ]


@pytest.mark.parametrize("voice", ["ann", "bob", "nova"])
async def test_it_makes_sound(german, voice):
    request = SpeechRequest(
        input="Guten Tag, drei Freunde.", voice=voice, language="de", response_format="pcm"
    )
    assert len((await german.speak(request, CallContext("r"))).body) > 10_000


async def test_a_language_that_it_does_not_speak_is_named(german):
    with pytest.raises(InvalidRequest) as caught:
        await german.speak(SpeechRequest(input="Hello", language="en"), CallContext("r"))
    assert caught.value.param == "language"
