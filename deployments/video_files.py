"""Drawn frames as files: an MP4 that browsers play, and pictures of it.

Place in the path: step 4, after drawing. FFmpeg through PyAV. The same frames always make the same
bytes. It decides nothing about what is drawn.
"""

import io
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

from core.videos import Codec

ENCODERS = {"h264": "libx264", "av1": "libsvtav1"}
OPTIONS = {
    # Without B-frames the first frame is at 0 and the last one keeps its whole length.
    "h264": {"crf": "18", "preset": "medium", "bf": "0"},
    "av1": {"crf": "28", "preset": "8"},
}
BT_709, STUDIO_RANGE = 1, 1
THUMBNAIL_SIDE = 512
CELL_SIDE = 160
CELLS, COLUMNS = 16, 4
QUALITY = 85


def enlarged(frames: Any, size: tuple[int, int]) -> Any:
    """`frames` (uint8, [frames, height, width, 3]) in another (width, height)."""
    import numpy as np
    from PIL import Image

    if frames.shape[2::-1][:2] == size:
        return frames
    return np.stack(
        [
            np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))
            for frame in frames
        ]
    )


def mp4(frames: Any, fps: int, codec: Codec) -> bytes:
    """A video file of `frames`, its index in front, so that it plays while it loads."""
    import av

    count, height, width, _ = frames.shape
    with tempfile.TemporaryDirectory() as directory:
        # The muxer moves the index to the front by reading what it wrote: it needs a real file.
        path = Path(directory) / "video.mp4"
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as file:
            stream: Any = file.add_stream(ENCODERS[codec], rate=fps, options=OPTIONS[codec])
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.time_base = stream.codec_context.time_base = Fraction(1, fps)
            _mark_colours(stream.codec_context)
            for index in range(count):
                frame = av.VideoFrame.from_ndarray(frames[index], format="rgb24")
                frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
                frame.pts, frame.time_base, frame.duration = index, Fraction(1, fps), 1
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
        return path.read_bytes()


def thumbnail(frames: Any) -> bytes:
    """The middle frame as WebP."""
    picture = _picture(frames[len(frames) // 2], THUMBNAIL_SIDE)
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=QUALITY)
    return file.getvalue()


def spritesheet(frames: Any) -> bytes:
    """Up to 16 frames, evenly spread, row by row in one JPEG."""
    from PIL import Image

    count = min(CELLS, len(frames))
    chosen = [frames[round(i * (len(frames) - 1) / max(count - 1, 1))] for i in range(count)]
    cells = [_picture(frame, CELL_SIDE) for frame in chosen]
    width, height = cells[0].size
    sheet = Image.new("RGB", (width * min(COLUMNS, count), height * -(-count // COLUMNS)))
    for index, cell in enumerate(cells):
        sheet.paste(cell, (index % COLUMNS * width, index // COLUMNS * height))
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _picture(frame: Any, longest: int) -> Any:
    from PIL import Image

    picture = Image.fromarray(frame)
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return picture


def _mark_colours(context: Any) -> None:
    """Say which colours these are: players guess otherwise, each its own way."""
    context.color_primaries = context.color_trc = context.colorspace = BT_709
    context.color_range = STUDIO_RANGE
