"""Uploaded pictures as an image model draws on them: decoded with limits, one size, one mask.

Place in the path: step 4, between a request and the pipelines. `deployments.pictures` judges the
files; this module fits them to the size that is drawn.
"""

from typing import TYPE_CHECKING, NamedTuple

from core.errors import InvalidRequest
from core.images import MAX_PIXELS, PictureFile
from deployments.pictures import as_rgb, open_picture

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


class Original(NamedTuple):
    """An uploaded picture in RGB, and what of it to repaint (white), if not all."""

    picture: "Picture"
    mask: "Picture | None" = None

    def fitted(self, size: tuple[int, int]) -> "Original":
        """Both in another size: cut to its proportions around the middle, then scaled."""
        from PIL import ImageOps

        if self.picture.size == size:
            return self
        mask = None if self.mask is None else ImageOps.fit(self.mask, size)
        return Original(ImageOps.fit(self.picture, size), mask)


def original_of(image: PictureFile, mask: PictureFile | None = None) -> Original:
    """The upload, checked. Raises InvalidRequest naming `image` or `mask`."""
    picture = _opened(image, "image")
    if mask is None:
        return Original(as_rgb(picture), _own_mask(picture))
    selection = _opened(mask, "mask")
    if selection.size != picture.size:
        raise InvalidRequest(
            f"'mask' has {_sides(selection)} pixels and 'image' {_sides(picture)}: "
            "they must be of the same size",
            "mask",
        )
    area = _repainted(selection)
    if area.getbbox() is None:
        raise InvalidRequest(
            "'mask' selects nothing: make the part to repaint transparent (or white)", "mask"
        )
    # What the picture's own transparency hides stays as it is: the mask was given.
    return Original(as_rgb(picture), area)


def control_of(control: PictureFile) -> "Picture":
    """What a ControlNet follows. Raises InvalidRequest naming `control_image`."""
    return as_rgb(_opened(control, "control_image"))


def _opened(file: PictureFile, param: str) -> "Picture":
    return open_picture(file.data, param, MAX_PIXELS, declared=file.media_type)


def _own_mask(picture: "Picture") -> "Picture | None":
    """Transparent parts of a picture are what to repaint."""
    if not picture.has_transparency_data:
        return None
    area = _repainted(picture)
    return None if area.getbbox() is None else area


def _repainted(picture: "Picture") -> "Picture":
    """White where to repaint: the transparent part, else the white part of a plain mask."""
    if picture.has_transparency_data:
        alpha = picture.convert("RGBA").getchannel("A")
        return alpha.point(lambda value: 0 if value >= 128 else 255)  # noqa: PLR2004
    return as_rgb(picture).convert("L").point(lambda value: 255 if value >= 128 else 0)  # noqa: PLR2004


def _sides(picture: "Picture") -> str:
    return f"{picture.width} x {picture.height}"
