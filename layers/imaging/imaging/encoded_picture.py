"""The finished picture, and how pixels become one: scaled, then encoded."""

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL import Image

MediaType = Literal["image/jpeg", "image/png"]


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture of 8 bits a sample, gray or RGB; width and height in pixels."""

    data: bytes
    media_type: MediaType
    width: int
    height: int


def target_size(columns: int, rows: int, height_to_width: float, size: int | None) -> tuple[int, int]:
    """Return the width and height, in pixels, that show an image undistorted without ever enlarging it.

    Parameters
    ----------
    columns, rows
        The frame's size in pixels.
    height_to_width
        How tall one pixel is for its width; pixels that are not square shrink the denser direction.
    size
        Ceiling of the longest side in pixels, or None.
    """
    width = columns / max(1.0, height_to_width)
    height = rows * min(1.0, height_to_width)
    scale = 1.0 if size is None else min(1.0, size / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def encode(image: "Image.Image", *, media_type: MediaType, quality: int) -> Picture:
    """Return an ``L`` or ``RGB`` image as a picture of the asked media type.

    Parameters
    ----------
    image
        A Pillow image.
    media_type
        JPEG or PNG.
    quality
        JPEG quality, 1 to 95; PNG ignores it.
    """
    buffer = BytesIO()
    if media_type == "image/png":
        image.save(buffer, "PNG")
    else:
        # Full chroma: a thumbnail is so small that halving it again shows
        image.save(buffer, "JPEG", quality=quality, subsampling=0)
    return Picture(buffer.getvalue(), media_type, image.width, image.height)
