"""Sound from strangers: every container is read, nothing is read without a limit."""

import math

import numpy as np
import pytest

from core.errors import InvalidRequest
from deployments.sound import SAMPLE_RATE, blocks
from tests.deployments.sounds import contained, encoded, pitch_of, tone


def heard(data, block_s=300.0, max_s=1000.0, **limits):
    return list(blocks(data, block_s, max_s, **limits))


@pytest.mark.parametrize("kind", ["mp3", "opus", "aac", "flac", "wav"])
def test_a_tone_in_any_format_is_the_same_tone(kind):
    (block,) = heard(encoded(tone(2.0), kind))
    assert block.last
    assert abs(len(block.samples) / SAMPLE_RATE - 2.0) < 0.15
    assert abs(pitch_of(block.samples, SAMPLE_RATE) - 440) < 2


@pytest.mark.parametrize(
    ("name", "codec"), [("mp4", "aac"), ("matroska", "libopus"), ("webm", "libopus")]
)
def test_video_containers_are_read(name, codec):
    rate = 48000 if codec == "libopus" else 16000
    (block,) = heard(contained(tone(1.5, rate), name, codec, rate))
    assert abs(len(block.samples) / SAMPLE_RATE - 1.5) < 0.15


def test_a_long_recording_comes_in_blocks_that_lose_nothing_and_cut_in_silence():
    silence = np.zeros(int(0.5 * SAMPLE_RATE))
    words = [np.concatenate([tone(1.5, SAMPLE_RATE, 300 + 20 * n), silence]) for n in range(20)]
    whole = np.concatenate(words)
    got = heard(encoded(whole, "wav", SAMPLE_RATE), block_s=12.0)
    assert len(got) > 3
    assert sum(len(block.samples) for block in got) == len(whole)
    assert max(len(block.samples) for block in got) <= 12 * SAMPLE_RATE
    for block in got:
        assert math.isclose(block.start_s % 2.0, 1.75, abs_tol=0.26) or block.start_s == 0
    assert [block.last for block in got] == [False] * (len(got) - 1) + [True]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a sound at all",
        b"RIFF\x00\x00\x00\x00WAVE",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
        b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        bytes(range(256)) * 40,
        b"OggS" + b"\xff" * 500,
        b"ID3\x04\x00\x00\x00\x00\x00\x00" + b"\xff\xfb\x90\x64" * 3,
    ],
)
def test_what_is_no_sound_is_an_error_that_names_the_file(data):
    with pytest.raises(InvalidRequest) as caught:
        heard(data)
    assert caught.value.param == "file"


@pytest.mark.parametrize("kind", ["mp3", "opus", "flac", "wav", "aac"])
def test_a_file_cut_short_gives_what_is_there(kind):
    data = encoded(tone(3.0), kind)
    got = heard(data[: len(data) // 2])
    assert 0 < sum(len(block.samples) for block in got) < 2.2 * SAMPLE_RATE


def test_a_sound_of_no_length_is_refused():
    with pytest.raises(InvalidRequest, match="0 seconds"):
        heard(encoded(np.zeros(0), "wav"))


def test_a_recording_over_the_limit_is_refused_with_the_limit():
    with pytest.raises(InvalidRequest, match="takes 2 seconds") as caught:
        heard(encoded(tone(5.0), "wav"), max_s=2.0)
    assert caught.value.param == "file"


def test_a_long_silence_in_few_bytes_is_refused_after_the_limit_not_decoded_whole():
    data = encoded(np.zeros(22050 * 120), "flac")
    assert len(data) < 200_000
    with pytest.raises(InvalidRequest, match="takes 30 seconds"):
        heard(data, max_s=30.0)


def test_a_header_that_claims_less_than_is_there_does_not_get_more_heard():
    with pytest.raises(InvalidRequest, match="more sound than its header says"):
        heard(encoded(tone(5.0), "opus"), reserved_s=2.0)
