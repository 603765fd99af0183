"""The camera: moves over frames that were drawn, for models that know no camera.

Place in the path: step 4, after drawing. Each frame is seen through a camera whose place changes
evenly from the first frame to the last: panned and tilted over the picture, nearer or farther, or
on an arc around its middle, as if it hung in space (a perspective turn). What lies outside the
picture shows its edge. It knows nothing of models.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

WORDS = {
    "pan_left": "the camera pans left",
    "pan_right": "the camera pans right",
    "tilt_up": "the camera tilts up",
    "tilt_down": "the camera tilts down",
    "zoom_in": "the camera slowly zooms in",
    "zoom_out": "the camera slowly zooms out",
    "orbit_left": "the camera orbits to the left",
    "orbit_right": "the camera orbits to the right",
}
DIRECTIONS = {"left": -1.0, "right": 1.0, "up": -1.0, "down": 1.0, "in": -1.0, "out": 1.0}
CLOSEST = 0.45
"""At full strength, a moving camera sees this share of the picture's side when it is nearest."""
WIDEST_TURN = math.radians(25)
"""At full strength, how far an orbit is from the middle at its ends."""
DISTANCE = 2.5
"""Of the camera from the picture, in half widths of it: how strong perspective looks."""


class View(NamedTuple):
    """Where the camera is in one frame. The picture spans -1 to 1 in both directions."""

    x: float = 0.0
    y: float = 0.0
    scale: float = 1.0
    """Share of the picture's side that is seen."""
    turn: float = 0.0
    """Radians around the picture's upright middle."""


def in_words(moves: Sequence[str]) -> str:
    """The moves as a prompt says them."""
    return ", ".join(WORDS[move] for move in moves)


def path_of(moves: Sequence[str], strength: float, frames: int) -> list[View]:
    """The camera's view in each frame."""
    steps = max(frames - 1, 1)
    return [_view(moves, strength, 2 * index / steps - 1) for index in range(frames)]


def filmed(frames: Any, moves: Sequence[str], strength: float) -> Any:
    """`frames` (uint8, [frames, height, width, 3]) as a moving camera sees them."""
    import numpy as np

    views = path_of(moves, strength, len(frames))
    return np.stack([_seen(frame, view) for frame, view in zip(frames, views, strict=True)])


def _view(moves: Sequence[str], strength: float, moment: float) -> View:
    """At `moment`, from -1 (the beginning) to 1 (the end)."""
    near = 1 - strength * (1 - CLOSEST)
    signs = {axis: DIRECTIONS[way] for axis, _, way in (move.partition("_") for move in moves)}
    scale = near if {"pan", "tilt"} & signs.keys() else 1.0
    if "orbit" in signs:
        scale *= math.cos(strength * WIDEST_TURN)
    room = 1 - scale
    if "zoom" in signs:
        scale *= near ** ((1 - signs["zoom"] * moment) / 2)
    return View(
        x=signs.get("pan", 0.0) * moment * room,
        y=signs.get("tilt", 0.0) * moment * room,
        scale=scale,
        turn=signs.get("orbit", 0.0) * moment * strength * WIDEST_TURN,
    )


def _seen(frame: Any, view: View) -> Any:
    """One frame through the camera."""
    import numpy as np
    import torch
    from torch.nn.functional import grid_sample

    height, width, _ = frame.shape
    across = torch.linspace(-1 + 1 / width, 1 - 1 / width, width) * view.scale
    down = torch.linspace(-1 + 1 / height, 1 - 1 / height, height) * view.scale
    y, x = torch.meshgrid(down, across, indexing="ij")
    u, v = _on_the_picture(x, y, view.turn)
    picture = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float()
    looked = grid_sample(
        picture,
        torch.stack((u + view.x, v + view.y), dim=-1)[None],
        mode="bicubic",
        padding_mode="border",
        align_corners=False,
    )
    return looked[0].permute(1, 2, 0).clamp(0, 255).round().byte().numpy()


def _on_the_picture(x: Any, y: Any, turn: float) -> tuple[Any, Any]:
    """Where the ray through (x, y) of the screen meets the picture.

    The camera stands at DISTANCE * (sin turn, 0, -cos turn) and looks at the picture's middle; the
    picture is the plane z = 0.
    """
    sine, cosine = math.sin(turn), math.cos(turn)
    along = DISTANCE * cosine / (x * sine + DISTANCE * cosine)
    return DISTANCE * sine + along * (x * cosine - DISTANCE * sine), along * y
