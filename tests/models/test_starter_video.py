"""starter-video: its clips are sound, and its shipped weights film what a caption says."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.starter_image.scenes import COLOURS, SHAPES, combinations, split
from models.starter_video import WEIGHTS
from models.starter_video.clips import (
    FRAMES,
    MOTIONS,
    Clip,
    caption,
    draw,
    first_frame,
    plain_caption,
    random_clip,
    tells_motion,
)
from models.starter_video.judge import judge

MEBIBYTE = 1024 * 1024
SAMPLE = 12


# --- the clips --------------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_clips() -> None:
    def drawn(seed: int) -> list[Clip]:
        rng = np.random.default_rng(seed)
        return [random_clip(rng, combinations()) for _ in range(50)]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
    clip = drawn(3)[0]
    films = [draw(clip, np.random.default_rng(5)) for _ in range(2)]
    assert (films[0] == films[1]).all()


def test_clips_for_training_show_no_held_out_combination() -> None:
    rng = np.random.default_rng(2)
    training, held_out = split()
    for _ in range(500):
        clip = random_clip(rng, training, anywhere=bool(rng.random() < 0.5))
        assert (clip.colour, clip.shape, clip.background) not in held_out


def test_the_judge_names_every_drawn_clip_rightly_even_with_noise() -> None:
    rng = np.random.default_rng(0)
    for index, (colour, shape, background) in enumerate(combinations()):
        motion = list(MOTIONS)[index % len(MOTIONS)]
        clip = random_clip(rng, [(colour, shape, background)], motion=motion)
        noisy = draw(clip, rng) + rng.normal(0, 6, (FRAMES, 64, 64, 3))
        verdict = judge(noisy.clip(0, 255).astype(np.uint8))
        assert verdict == (colour, shape, background, motion)


def test_the_judge_sees_nothing_in_noise_or_in_a_shape_that_changes() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (FRAMES, 64, 64, 3), dtype=np.uint8)
    assert judge(noise).shape == judge(np.full_like(noise, 248)).motion == "unclear"
    one = draw(Clip("red", "circle", "white", "left", x=0.6))
    other = draw(Clip("red", "square", "white", "left", x=0.6))
    changing = np.concatenate([one[:8], other[8:]])
    assert judge(changing) == ("red", "unclear", "white", "left")


def test_a_shape_moves_as_far_as_it_says_and_stays_in_the_picture() -> None:
    rng = np.random.default_rng(4)
    for _ in range(100):
        clip = random_clip(rng, combinations())
        across, down = MOTIONS[clip.motion]
        for x, y in (
            (clip.x, clip.y),
            (clip.x + across * clip.travel, clip.y + down * clip.travel),
        ):
            assert clip.radius <= min(x, y)
            assert max(x, y) <= 1 - clip.radius
        assert (clip.travel > 0) == (clip.motion != "still")


def test_a_shape_may_leave_the_picture() -> None:
    film = draw(Clip("black", "square", "white", "right", x=0.6, radius=0.3, travel=0.9))
    assert (film[-1] == 248).all()
    assert (first_frame(Clip("black", "square", "white", "right")) == 18).any()


def test_captions_say_nothing_that_is_not_there() -> None:
    rng = np.random.default_rng(1)
    opposite = {"left": "right", "right": "left", "up": "down", "down": "up"}
    for _ in range(1000):
        clip = random_clip(rng, combinations())
        text = caption(clip, rng, given=bool(rng.random() < 0.3))
        words = set(text.lower().replace(",", " ").replace(".", " ").split())
        assert words & set(SHAPES) <= {clip.shape}
        assert words & set(COLOURS) <= {clip.colour, clip.background}
        if clip.motion == "still":
            assert not words & set(opposite)
        else:
            assert words & set(opposite) <= {clip.motion}


def test_it_is_known_whether_a_caption_tells_the_motion() -> None:
    rng = np.random.default_rng(1)
    for motion in MOTIONS:
        clip = random_clip(rng, combinations(), motion=motion)
        assert tells_motion(plain_caption(clip))
    assert not tells_motion("a red circle on a white background")


# --- the weights ------------------------------------------------------------------------------


def test_the_shipped_files_are_small_and_safe() -> None:
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 20 * MEBIBYTE
    assert {path.suffix for path in files} <= {".json", ".safetensors"}


def test_the_shipped_files_are_laid_out_as_wan_expects() -> None:
    index = json.loads((WEIGHTS / "model_index.json").read_text())
    assert index["_class_name"] == "WanPipeline"
    assert index["expand_timesteps"] is True
    assert index["vae"] == ["diffusers", "AutoencoderKLWan"]
    assert index["transformer"] == ["diffusers", "WanTransformer3DModel"]
    assert index["text_encoder"] == ["transformers", "UMT5EncoderModel"]


def test_it_films_as_many_held_out_captions_as_it_must() -> None:
    scores = json.loads((WEIGHTS.parent / "scores.json").read_text())["scores"]
    by_kind = {part["kind"]: part for part in scores}
    for kind in ("text to video", "text to video, other wordings", "image to video"):
        part = by_kind[kind]
        assert part["count"] >= 70
        for attribute in ("colour", "shape", "motion", "all"):
            assert part[attribute] >= 0.8, (kind, attribute)


@pytest.fixture(scope="module")
def studio():
    from models.starter_video.evaluate import Studio

    return Studio(Path(WEIGHTS))


def _held_out_sample() -> list[Clip]:
    rng = np.random.default_rng(11)
    _, held_out = split()
    ways = ("left", "right", "up", "down")
    chosen = rng.permutation(len(held_out))[:SAMPLE]
    return [
        random_clip(rng, [held_out[int(row)]], motion=ways[index % 4])
        for index, row in enumerate(chosen)
    ]


def _share(wanted: list[Clip], films, *attributes: str) -> float:
    verdicts = [judge(film) for film in films]
    right = [
        all(getattr(v, name) == getattr(c, name) for name in attributes)
        for v, c in zip(verdicts, wanted, strict=True)
    ]
    return float(np.mean(right))


@pytest.fixture(scope="module")
def filmed(studio):
    clips = _held_out_sample()
    return clips, studio.film([plain_caption(clip) for clip in clips])


def test_it_films_held_out_captions_in_their_colours(filmed) -> None:
    clips, films = filmed
    assert films[0].shape == (FRAMES, 64, 64, 3)
    assert _share(clips, films, "colour", "background") >= 0.9


def test_it_films_the_named_shape_in_its_colour_and_direction(filmed) -> None:
    """As in its scores; of 12 clips, one that is wrong is 8 %: hence below the 0.8 of these."""
    assert _share(*filmed, "motion") >= 0.9
    assert _share(*filmed, "colour", "shape", "motion") >= 0.7


def test_it_knows_which_colour_is_the_shapes(studio) -> None:
    clips = [
        Clip("green", "square", "black", "left"),
        Clip("black", "square", "green", "left"),
        Clip("blue", "triangle", "white", "down"),
        Clip("white", "triangle", "blue", "down"),
    ]
    films = studio.film([plain_caption(clip) for clip in clips])
    assert _share(clips, films, "colour", "background") == 1.0


def test_it_moves_a_given_picture_as_told(studio) -> None:
    clips = _held_out_sample()[:6]
    pictures = [first_frame(clip) for clip in clips]
    films = studio.animate(pictures, [plain_caption(clip) for clip in clips])
    assert _share(clips, films, "colour", "background", "motion") >= 0.8
    for picture, film in zip(pictures, films, strict=True):
        assert np.abs(film[0].astype(float) - picture).mean() < 12
