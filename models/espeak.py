"""espeak-ng through its library: phonemes of a text, and speech with the times of its phonemes.

Place in the path: speech models that read phonemes call it for every sentence; the scripts that
make training data call it for whole corpora. The library and its voices come from the wheel
`espeakng-loader`, so no program has to be installed. One instance serves a process: the library
keeps its state in globals, so calls take turns.

Source: espeak-ng's `speak_lib.h`.
"""

import ctypes
import threading
from dataclasses import dataclass, field
from functools import cache

SYNCHRONOUS = 2
PHONEME_EVENTS = 0x01
IPA_EVENTS = 0x02
CHARS_UTF8 = 1
IPA = 0x02
POSITION_CHARACTER = 1
RATE, PITCH, PITCH_RANGE = 1, 3, 4
EVENT_END, EVENT_PHONEME = 0, 7
PHONEME_NAME_BYTES = 8


@dataclass(frozen=True, slots=True)
class Voice:
    """How espeak-ng speaks.

    Args:
        name: an espeak-ng voice, with a variant if any: `en-us+f3`.
        rate: words a minute, 80 to 450.
        pitch, pitch_range: 0 to 100; 50 is the voice's own.
    """

    name: str = "en-us"
    rate: int = 165
    pitch: int = 50
    pitch_range: int = 50


@dataclass(slots=True)
class Speech:
    """What was spoken: 16-bit mono samples, and when each phoneme begins."""

    sample_rate: int
    samples: bytes
    phonemes: list[tuple[int, str]] = field(default_factory=list)
    """(first sample, IPA name); pauses have an empty name."""


class _Id(ctypes.Union):
    _fields_ = [
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * PHONEME_NAME_BYTES),
    ]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


class _VoiceEntry(ctypes.Structure):
    """The fields of `espeak_VOICE` that are read here; there are more."""

    _fields_ = [("name", ctypes.c_char_p), ("languages", ctypes.c_char_p)]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Espeak:
    """The library, set up once a process; see `espeak()`."""

    def __init__(self) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._lock = threading.Lock()
        data = espeakng_loader.get_data_path().encode()
        options = PHONEME_EVENTS | IPA_EVENTS
        self.sample_rate = self._library.espeak_Initialize(SYNCHRONOUS, 500, data, options)
        if self.sample_rate <= 0:
            raise RuntimeError("espeak-ng found no data")
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self._library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceEntry))
        self._library.espeak_Info.restype = ctypes.c_char_p
        self._speech = Speech(self.sample_rate, b"")
        self._pieces: list[bytes] = []
        self._callback = _Callback(self._collect)
        self._library.espeak_SetSynthCallback(self._callback)

    def phonemes(self, text: str, voice: str = "en-us", separator: str = "") -> str:
        """IPA of `text`, clauses joined by a space; `separator` goes between phonemes."""
        with self._lock:
            self._choose(voice)
            source = ctypes.c_char_p(text.encode())
            rest = ctypes.pointer(source)
            mode = IPA | (ord(separator) << 8 if separator else 0)
            clauses = []
            while rest.contents.value:
                clauses.append(self._library.espeak_TextToPhonemes(rest, CHARS_UTF8, mode))
        return " ".join(clause.decode().strip() for clause in clauses if clause)

    def languages(self) -> dict[str, str]:
        """Language codes that there are voices for, and the voices' names."""
        with self._lock:
            voices = self._library.espeak_ListVoices(None)
            found, index = {}, 0
            while voices[index]:
                voice = voices[index].contents
                # One byte of priority, then the code.
                found[voice.languages[1:].decode()] = voice.name.decode()
                index += 1
        return found

    def version(self) -> str:
        """The library's version, as 1.52."""
        return str(self._library.espeak_Info(None).decode())

    def speak(self, text: str, voice: Voice) -> Speech:
        """`text` spoken at the library's own sample rate (22,050 Hz)."""
        with self._lock:
            self._choose(voice.name)
            for parameter, value in (
                (RATE, voice.rate),
                (PITCH, voice.pitch),
                (PITCH_RANGE, voice.pitch_range),
            ):
                self._library.espeak_SetParameter(parameter, value, 0)
            self._speech, self._pieces = Speech(self.sample_rate, b""), []
            data = text.encode()
            self._library.espeak_Synth(
                data, len(data) + 1, 0, POSITION_CHARACTER, 0, CHARS_UTF8, None, None
            )
            self._speech.samples = b"".join(self._pieces)
            return self._speech

    def _choose(self, voice: str) -> None:
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}")

    def _collect(self, samples: object, count: int, events: object) -> int:
        if samples:
            self._pieces.append(ctypes.string_at(samples, 2 * count))  # type: ignore[arg-type]
        index = 0
        while events[index].type != EVENT_END:  # type: ignore[index]
            event = events[index]  # type: ignore[index]
            if event.type == EVENT_PHONEME:
                name = event.id.string.decode("utf-8", "ignore")
                self._speech.phonemes.append((event.sample, name))
            index += 1
        return 0


@cache
def espeak() -> Espeak:
    """The one instance of this process."""
    return Espeak()
