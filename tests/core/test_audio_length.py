"""Lengths by header: near the truth for every format, never an exception, never slow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.audio_length import audio_ms, stand_in
from core.errors import InvalidRequest
from core.model import ModelCard
from core.transcription import TranscriptionRequest, estimate_transcription
from tests.deployments.sounds import contained, encoded, tone

CARD = ModelCard(id="m", spec="deployments.transcription:SPEC")


@pytest.mark.parametrize("kind", ["wav", "mp3", "opus", "aac"])
@pytest.mark.parametrize("seconds", [0.5, 7.0])
def test_the_header_says_how_long_it_is(kind, seconds):
    assert audio_ms(encoded(tone(seconds), kind)) == pytest.approx(1000 * seconds, abs=150)


@pytest.mark.parametrize(
    ("name", "codec", "rate"), [("mp4", "aac", 16000), ("webm", "libopus", 48000)]
)
def test_containers_of_video_say_it_too(name, codec, rate):
    data = contained(tone(4.0, rate), name, codec, rate)
    assert audio_ms(data) == pytest.approx(4000, abs=150)


def test_a_tag_before_the_music_is_not_counted():
    data = encoded(tone(3.0), "mp3")
    tag = b"ID3\x04\x00\x00\x00\x00\x4e\x20" + b"\0" * 10_016
    assert audio_ms(tag + data) == pytest.approx(audio_ms(data), abs=60)


@given(
    st.sampled_from(
        [
            b"RIFF\0\0\0\0WAVE",
            b"fLaC",
            b"OggS",
            b"\0\0\0\x20ftyp",
            b"\x1aE\xdf\xa3",
            b"ID3",
            b"\xff\xfb",
        ]
    ),
    st.binary(max_size=400),
)
def test_any_bytes_are_survived(magic, rest):
    length = audio_ms(magic + rest)
    assert length is None or length >= 0


def test_a_broken_file_is_survived_at_every_byte():
    for kind in ("wav", "mp3", "opus", "aac", "flac"):
        data = encoded(tone(0.3), kind)
        for at in range(min(len(data), 400)):
            for value in (0, 0x7F, 0xFF):
                audio_ms(data[:at] + bytes([value]) + data[at + 1 :])
            audio_ms(data[:at])


def test_sound_without_a_length_reserves_the_most_that_its_bytes_can_hold():
    request = TranscriptionRequest(file=b"x" * 5000)
    assert estimate_transcription(request, CARD).audio_ms == 5001


def test_a_recording_that_says_it_is_empty_is_refused_before_anything_is_reserved():
    with pytest.raises(InvalidRequest) as caught:
        estimate_transcription(TranscriptionRequest(file=encoded(tone(0), "wav")), CARD)
    assert caught.value.param == "file"


@pytest.mark.parametrize("ms", [2, 1001, 24 * 3600 * 1000])
def test_what_stands_for_a_recording_is_as_long(ms):
    assert audio_ms(stand_in(ms)) == ms
