"""A judge of clips: which colour, shape, background and motion they show, from pixels alone.

It is not told what was asked for. Single frames are starter-image's judge's business: the first,
the middle and the last must agree. The motion is that of the middle of the shape's pixels. A clip
whose frames disagree, or whose shape wanders, is judged `unclear`, which is never right.
"""

from typing import NamedTuple

import numpy as np

from models.starter_image.judge import LEAST_SHARE, UNCLEAR
from models.starter_image.judge import judge as judge_frame
from models.starter_video.clips import MOTIONS, Film

LEAST_MOVE = 0.06
"""Of the picture's side, between the first and the last frames, to count as a movement."""
MOST_DRIFT = 0.03
"""Of the picture's side, to count as standing still."""
STRAIGHT = 2.0
"""How much farther than across it a movement goes in its direction."""


class Verdict(NamedTuple):
    """What a clip shows."""

    colour: str
    shape: str
    background: str
    motion: str


def judge(film: Film) -> Verdict:
    """The verdict on uint8 frames [frames, side, side, 3]."""
    shown = [judge_frame(film[i]) for i in (0, len(film) // 2, len(film) - 1)]
    colour, shape, background = (_agreed(list(names)) for names in zip(*shown, strict=True))
    return Verdict(colour, shape, background, motion(film))


def _agreed(names: list[str]) -> str:
    return names[0] if len(set(names)) == 1 else UNCLEAR


def motion(film: Film) -> str:
    """Where the shape goes, from its middle in each frame."""
    middles = np.array([_middle(frame) for frame in film.astype(np.float64)])
    if np.isnan(middles).any():
        return UNCLEAR
    few = max(1, len(film) // 8)
    across, down = middles[-few:].mean(axis=0) - middles[:few].mean(axis=0)
    if max(abs(across), abs(down)) < MOST_DRIFT:
        return "still"
    far, aside = max(abs(across), abs(down)), min(abs(across), abs(down))
    if far < LEAST_MOVE or far < STRAIGHT * aside:
        return UNCLEAR
    way = (int(np.sign(across)), 0) if far == abs(across) else (0, int(np.sign(down)))
    return next(name for name, found in MOTIONS.items() if found == way)


def _middle(frame: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[float, float]:
    """Middle (x, y) of the shape's pixels in picture sides; not a number where there is none."""
    rim = np.concatenate([frame[0], frame[-1], frame[:, 0], frame[:, -1]])
    far = np.linalg.norm(frame - np.median(rim, axis=0), axis=-1)
    clear = far > max(30.0, 0.5 * float(np.quantile(far, 0.98)))
    if clear.mean() < LEAST_SHARE:
        return (np.nan, np.nan)
    rows, columns = np.nonzero(clear)
    return float(columns.mean() / len(frame)), float(rows.mean() / len(frame))
