"""Coqui's `TTS`, made loadable on a plain CPU machine.

Place in the path: speech replicas and the scripts that train starter-speech load it through here;
no other process imports it. Two things stand between Coqui and a machine with only Python:

- It wants torchaudio and torchcodec, of which only CUDA builds are published where pip looks; in
  the main environment they would break other packages. The installer puts a torchaudio without its
  libraries, and the mere name of torchcodec, in a directory of their own, which only this module
  adds to the path. With real ones installed the directory does not exist and nothing is added.
- Its espeak phonemizer calls a program. Here the same phonemes come from the library in the wheel
  `espeakng-loader`, so every model that names `espeak` works with nothing else installed.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from models import griffin_lim
from models.espeak import espeak

PACKAGES = "speech-packages"
LOUDEST = 0.95
LANGUAGE_FLAG = re.compile(r"\(.+?\)")
ESPEAK_NAMES = {"en": "en-us", "zh-cn": "cmn"}


def prepare() -> None:
    """Make `import TTS` work in this process. May be called again."""
    packages = str(Path(sys.prefix) / PACKAGES)
    if Path(packages).is_dir() and packages not in sys.path:
        sys.path.insert(0, packages)
    from TTS.tts.utils.text import phonemizers

    if "espeak" in phonemizers.PHONEMIZERS or not phonemizers.DEF_LANG_TO_PHONEMIZER:
        phonemizers._register_phonemizers()  # noqa: SLF001 - it runs once, and would undo ours later
    from TTS.tts.utils.text.phonemizers.espeak_wrapper import ESpeak

    if not ESpeak.is_available():
        phonemizers.PHONEMIZERS["espeak"] = library_phonemizer()
        for language in espeak().languages():
            phonemizers.DEF_LANG_TO_PHONEMIZER.setdefault(language, "espeak")


def library_phonemizer() -> type[Any]:
    """Coqui's phonemizer interface over the espeak-ng library."""
    from TTS.tts.utils.text.phonemizers.base import BasePhonemizer
    from TTS.tts.utils.text.punctuation import Punctuation

    class LibraryPhonemizer(BasePhonemizer):  # type: ignore[misc]
        """What Coqui's `ESpeak` answers, without its program."""

        def __init__(
            self,
            language: str,
            punctuations: str = Punctuation.default_puncs(),
            *,
            keep_puncs: bool = True,
        ) -> None:
            super().__init__(
                ESPEAK_NAMES.get(language, language), punctuations, keep_puncs=keep_puncs
            )

        @staticmethod
        def name() -> str:
            return "espeak"

        @classmethod
        def is_available(cls) -> bool:
            return True

        @staticmethod
        def supported_languages() -> dict[str, str]:
            return espeak().languages()

        def version(self) -> str:
            return espeak().version()

        def _phonemize(self, text: str, separator: str = "") -> str:
            found = espeak().phonemes(text, self._language, separator)
            return LANGUAGE_FLAG.sub("", found)

    return LibraryPhonemizer


class Speaker:
    """A loaded model, one sentence at a time. Not for several threads at once."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        import numpy as np

        self._np = np
        self._api = load(folder, device)
        self._synthesizer = self._api.synthesizer
        if (processor := getattr(self._synthesizer.tts_model, "ap", None)) is not None:
            griffin_lim.use_in(processor)
        self.rate = int(self._synthesizer.output_sample_rate)
        """Samples per second."""
        self.voices: list[str] = list(self._api.speakers or ())
        """Names of voices; empty for a model of one voice."""
        self.is_multilingual = bool(self._api.is_multi_lingual)
        self.languages = self._languages()
        """Codes of languages; empty when the model does not say."""

    def say(self, text: str, voice: str | None, language: str | None) -> Any:
        """One sentence as float32 samples, -1 to 1."""
        from TTS.utils.synthesizer import PAD_SILENCE_SAMPLES

        made = self._synthesizer.tts(
            text, speaker_name=voice, language_name=language, split_sentences=False
        )
        samples = self._np.asarray(made[:-PAD_SILENCE_SAMPLES], self._np.float32)
        # Griffin-Lim does not know how loud is too loud.
        loudest = float(self._np.abs(samples).max(initial=0.0))
        return samples * (LOUDEST / loudest) if loudest > LOUDEST else samples

    def _languages(self) -> list[str]:
        if self.is_multilingual:
            return list(self._api.languages or ())
        one = self._api.config.get("phoneme_language") or ""
        return [one.split("-")[0]] if one else []


def load(folder: Path, device: str = "cpu") -> Any:
    """The `TTS` object of a model directory, in evaluation mode.

    A directory holds `config.json` and either one checkpoint (`model.pth`, or the only other
    `*.pth` file that is not a list of speakers) or what an XTTS model consists of.
    """
    prepare()
    from TTS.api import TTS

    kind = json.loads((folder / "config.json").read_text()).get("model")
    model = folder if kind == "xtts" else _checkpoint(folder)
    vocoder = folder / "vocoder.pth"
    speech = TTS(
        model_path=str(model),
        config_path=str(folder / "config.json"),
        vocoder_path=str(vocoder) if vocoder.exists() else None,
        vocoder_config_path=str(folder / "vocoder_config.json") if vocoder.exists() else None,
        progress_bar=False,
    )
    return speech.to(device)


def _checkpoint(folder: Path) -> Path:
    named = [folder / name for name in ("model.pth", "best_model.pth", "model_file.pth")]
    for path in named:
        if path.exists():
            return path
    others = [p for p in sorted(folder.glob("*.pth")) if "speakers" not in p.name]
    if not others:
        raise FileNotFoundError(f"{folder} has no checkpoint (*.pth)")
    return others[-1]
