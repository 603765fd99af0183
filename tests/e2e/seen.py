"""What pictures and videos show that came over HTTP: by the judges that scored the models."""

import io

import av
import numpy as np
from PIL import Image

from models.starter_image import judge as picture_judge
from models.starter_video import judge as video_judge


def shown(picture: bytes) -> picture_judge.Verdict:
    """Colour, shape and background of a picture file."""
    return picture_judge.judge(np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")))


def frames(video: bytes) -> np.ndarray:
    """A video file's frames: uint8, (frames, height, width, 3)."""
    with av.open(io.BytesIO(video), "r") as film:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)])


def filmed(video: bytes) -> video_judge.Verdict:
    """Colour, shape, background and direction of a video file."""
    return video_judge.judge(frames(video))
