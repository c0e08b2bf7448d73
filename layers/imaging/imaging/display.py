"""From a decoded frame to a picture of 8 bits a sample, scaled for display."""

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset

from imaging import color, grayscale
from imaging.encoded_picture import target_size
from imaging.errors import CannotDecode
from imaging.header import Window

if TYPE_CHECKING:
    from imaging.decode import DecodedFrame


def to_image(decoded: "DecodedFrame", header: Dataset, *, frame: int, window: Window | None = None) -> Image.Image:
    """Return a decoded frame as an ``L`` or ``RGB`` image, by its photometric interpretation (PS3.3 C.7.6.3.1.2).

    Parameters
    ----------
    decoded
        The frame.
    header
        The image's attributes.
    frame
        The frame's number, from 1.
    window
        A VOI window instead of the file's own.

    Raises
    ------
    CannotDecode
        A photometric interpretation that has no display here.
    AttributeError, LookupError, TypeError, ValueError
        A lookup table or palette is malformed.
    """
    pixels, photometric = decoded.pixels, decoded.photometric
    if photometric == "PALETTE COLOR":
        return Image.fromarray(color.apply_palette(pixels, header))
    if pixels.ndim == 3 and photometric in ("RGB", "YBR_ICT", "YBR_RCT"):
        return Image.fromarray(np.ascontiguousarray(color.to_8_bit(pixels, decoded.bits)))
    if pixels.ndim != 2 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise CannotDecode("no display for the photometric interpretation")
    gray = grayscale.to_gray(pixels, header, frame=frame, bits=decoded.bits, window=window)
    if photometric == "MONOCHROME1":
        gray = 255 - gray
    if color.is_supplemental(header):
        is_colored = pixels >= color.first_mapped(header)
        layers = np.repeat(gray[..., np.newaxis], 3, axis=2)
        layers[is_colored] = color.apply_palette(pixels[is_colored], header)
        return Image.fromarray(layers)
    return Image.fromarray(gray)


def scale(image: Image.Image, height_to_width: float, size: int | None) -> Image.Image:
    """Return the image undistorted and no longer than asked; never enlarged.

    Parameters
    ----------
    image
        The frame, a pixel each.
    height_to_width
        How tall a pixel is for its width.
    size
        Ceiling of the longest side in pixels, or None.
    """
    target = target_size(image.width, image.height, height_to_width, size)
    if target == image.size:
        return image
    return image.resize(target, Image.Resampling.LANCZOS, reducing_gap=3.0)
