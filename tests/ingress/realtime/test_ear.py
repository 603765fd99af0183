"""What the ear keeps, and when it hears that somebody speaks."""

import base64

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidRequest
from core.pcm import BYTES_PER_MS, PCM_RATE
from ingress.realtime.detector import Detector
from ingress.realtime.ear import Ear
from ingress.realtime.pace import Pace
from ingress.realtime.session import ServerVad
from tests.deployments.sounds import tone
from tests.fakes.voice import pcm

SPEECH = pcm(tone(0.6, PCM_RATE))
QUIET = bytes(700 * BYTES_PER_MS)
STREAM = QUIET + SPEECH + QUIET + SPEECH + QUIET


def changes(stream, size, **settings):
    detector = Detector(ServerVad(**settings))
    pieces = (stream[at : at + size] for at in range(0, len(stream), size))
    return [tuple(change) for piece in pieces for change in detector.feed(piece)]


@settings(deadline=None)
@given(st.integers(1, 20_000))
def test_turns_do_not_depend_on_how_sound_is_cut(size):
    assert changes(STREAM, size) == changes(STREAM, len(STREAM))


def test_turns_begin_before_the_voice_and_end_after_the_silence():
    found = changes(STREAM, 960, silence_duration_ms=400, prefix_padding_ms=200)
    starts, ends = (
        [at for speaks, at in found if speaks],
        [at for speaks, at in found if not speaks],
    )
    assert starts == pytest.approx([500, 1800], abs=20)
    assert ends == pytest.approx([1700, 3000], abs=20)


@pytest.mark.parametrize(
    ("level_db", "threshold", "speaks"),
    [(-30, 0.5, True), (-50, 0.5, False), (-50, 0.1, True), (-25, 1.0, False)],
)
def test_the_threshold_is_a_loudness(level_db, threshold, speaks):
    level = 10 ** (level_db / 20)
    # A sine's root mean square is its peak over the root of two; `tone` peaks at one half.
    voice = pcm(np.asarray(tone(0.6, PCM_RATE)) * 2 * level * 2**0.5)
    assert bool(changes(voice, 960, threshold=threshold)) == speaks


def test_a_click_is_not_speech():
    click = pcm(tone(0.03, PCM_RATE))
    assert not changes(QUIET + click + QUIET, 960)


def heard(ear, data):
    return list(ear.hear(base64.b64encode(data).decode()))


def test_silence_is_forgotten_and_a_turn_holds_what_was_said():
    ear = Ear(ServerVad(), longest_s=3)
    for _ in range(20):  # 14 s of silence do not fill three
        assert not heard(ear, QUIET)
        ear.forget_silence()
    found = heard(ear, SPEECH + QUIET)
    assert [change.speaking for change in found] == [True, False]
    turn = ear.take_turn(found[1].at_ms)
    assert len(turn) / BYTES_PER_MS == pytest.approx(300 + 600 + 500, abs=41)


def test_half_a_sample_waits_for_its_other_half():
    ear = Ear(None, longest_s=3)
    heard(ear, SPEECH[:10_001])
    heard(ear, SPEECH[10_001:])
    assert ear.take() == SPEECH


def test_no_room_and_next_to_nothing_are_refused():
    ear = Ear(None, longest_s=1)
    with pytest.raises(InvalidRequest):
        ear.take()
    heard(ear, SPEECH)
    with pytest.raises(InvalidRequest):
        heard(ear, SPEECH)
    assert ear.take() == SPEECH
    heard(ear, SPEECH)
    ear.clear()
    with pytest.raises(InvalidRequest):
        ear.take()


def test_a_burst_has_room_and_a_flood_has_not():
    now = 0.0
    pace = Pace(10, lambda: now)
    assert all(pace.take() for _ in range(300))
    assert not pace.take()
    now = 1.0
    assert all(pace.take() for _ in range(9))
    assert not pace.take()
