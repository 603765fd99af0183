"""Video requests: what fits a model's limits, what is delivered, and what is reserved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.errors import InvalidRequest, SettingsError
from core.imports import check_limits, load_spec
from core.model import ModelCard
from core.videos import (
    MOVES,
    AnimationRequest,
    VideoLimits,
    VideoRequest,
    estimate_video,
    shot_of,
)

LIMITS = VideoLimits(sizes=("64x64", "128x96"), fps=(4, 8, 16), max_frames=17)
CARD = ModelCard(id="m", spec="deployments.video:SPEC", limits=LIMITS.model_dump())


def request(**fields):
    return AnimationRequest.model_validate({"prompt": "x"} | fields)


@pytest.mark.parametrize(
    ("fields", "fps", "frames"),
    [
        ({}, 4, 16),
        ({"seconds": "4"}, 4, 16),
        ({"seconds": 2}, 8, 16),
        ({"seconds": "1"}, 16, 16),
        ({"seconds": 0.25}, 16, 4),
        ({"seconds": 1, "fps": 4}, 4, 4),
        ({"fps": 16}, 16, 17),
        ({"seconds": 4.25}, 4, 17),
        ({"seconds": 0.001}, 16, 1),
    ],
)
def test_length_and_speed_that_were_not_named_are_chosen_to_fit(fields, fps, frames):
    shot = shot_of(request(**fields), LIMITS)
    assert (shot.fps, shot.frames) == (fps, frames)
    assert shot.seconds == frames / fps


@given(
    seconds=st.one_of(st.none(), st.floats(0.01, 10)),
    fps=st.sampled_from([None, *LIMITS.fps]),
    size=st.sampled_from([None, *LIMITS.sizes]),
)
def test_what_is_accepted_fits_and_is_reserved_whole(seconds, fps, size):
    asked = request(seconds=seconds, fps=fps, size=size)
    if seconds is not None and round(seconds * (fps or 4)) > LIMITS.max_frames:
        with pytest.raises(InvalidRequest) as raised:
            shot_of(asked, LIMITS)
        assert raised.value.param == "seconds"
        return
    shot = shot_of(asked, LIMITS)
    assert 1 <= shot.frames <= LIMITS.max_frames
    assert shot.size in LIMITS.sizes
    units = estimate_video(asked, CARD)
    assert units == shot.units
    assert units.video_pixel_ms == shot.width * shot.height * round(shot.seconds * 1000)


def test_one_move_is_a_list_of_one_and_other_names_mean_the_same():
    assert request(camera="pan_up").camera == ("tilt_up",)
    assert request(camera=["pan_down", "zoom_in"]).camera == ("tilt_down", "zoom_in")
    assert {move for move in MOVES if request(camera=move).camera == (move,)} == set(MOVES)


@pytest.mark.parametrize(
    "fields",
    [
        {"camera": ["zoom_in", "zoom_out"]},
        {"camera": ["pan_left", "tilt_up", "zoom_in", "orbit_left"]},
        {"camera": 7},
        {"seconds": "inf"},
        {"size": "64 x 64"},
        {"size": "0x64"},
        {"seed": -1},
        {"steps": 0},
        {"duration": 3},
        {"input_reference": "aGVsbG8="},
    ],
)
def test_fields_that_make_no_sense_are_refused(fields):
    with pytest.raises(ValidationError):
        VideoRequest.model_validate({"prompt": "x"} | fields)


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"sizes": [], "fps": [4], "max_frames": 17},
        {"sizes": ["65x64"], "fps": [4], "max_frames": 17},
        {"sizes": ["64x64"], "fps": [0], "max_frames": 17},
        {"sizes": ["64x64"], "fps": [4], "max_frames": 17, "colours": 3},
    ],
)
def test_a_card_without_good_limits_is_a_settings_error(limits):
    card = ModelCard(id="m", spec="deployments.video:SPEC", limits=limits)
    with pytest.raises(SettingsError, match="limits of the model 'm'"):
        check_limits(card, load_spec(card.spec))


def test_a_family_without_limits_takes_none():
    card = ModelCard(id="m", spec="deployments.echo:SPEC", limits={"sizes": ["64x64"]})
    with pytest.raises(SettingsError, match="without limits"):
        check_limits(card, load_spec(card.spec))
