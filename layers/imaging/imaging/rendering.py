"""Render one frame: open, decode, window or colour, scale, encode.

Nothing costly is imported until a frame is rendered, so a function that answers from its cache pays nothing.
"""

from collections.abc import Mapping
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from imaging.classification import MAX_FRAME_BYTES
from imaging.encoded_picture import MediaType, Picture, encode
from imaging.header import Window, choose_frame, pixel_height_to_width

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from imaging.source import PixelSource


def render(
    source: bytes | str | PathLike[str] | BinaryIO,
    *,
    frame: int | None = None,
    window: Window | None = None,
    size: int | None = 256,
    media_type: MediaType = "image/jpeg",
    quality: int = 85,
    max_frame_bytes: int = MAX_FRAME_BYTES,
) -> Picture:
    """Render one frame of a DICOM file as a picture.

    Only that frame's bytes are read and decoded. Overlays and ICC profiles are not applied.

    Parameters
    ----------
    source
        The Part 10 file: its bytes, its path, or a seekable binary file at its start, which is not closed.
    frame
        The frame's number, from 1; None for RepresentativeFrameNumber, else the middle one.
    window
        A VOI window instead of the file's own LUT or window; colour has none.
    size
        Ceiling of the longest side in pixels; pictures are never enlarged. None keeps the frame's size.
    media_type
        JPEG or PNG.
    quality
        JPEG quality, 1 to 95.
    max_frame_bytes
        Ceiling of one decoded frame, and of a deflated dataset once inflated.
    """
    from imaging.source import open_part10

    if isinstance(source, str | PathLike):
        with Path(source).open("rb") as stream:
            opened = open_part10(stream, max_bytes=max_frame_bytes)
            return _render(opened, frame, window, size, media_type, quality, max_frame_bytes)
    opened = open_part10(BytesIO(source) if isinstance(source, bytes) else source, max_bytes=max_frame_bytes)
    return _render(opened, frame, window, size, media_type, quality, max_frame_bytes)


def render_frame(
    frame_bytes: bytes,
    transfer_syntax_uid: str,
    header: "Dataset | Mapping[str, Any]",
    *,
    frame: int | None = None,
    window: Window | None = None,
    size: int | None = 256,
    media_type: MediaType = "image/jpeg",
    quality: int = 85,
    max_frame_bytes: int = MAX_FRAME_BYTES,
) -> Picture:
    """Render one frame that was fetched alone, as by a WADO-RS frame request (PS3.18 10.4.1.1.6).

    Parameters
    ----------
    frame_bytes
        The frame as the PACS sent it: a whole compressed frame, or uncompressed pixels, little endian.
    transfer_syntax_uid
        How it is encoded, from the part's media type: Explicit VR Little Endian for ``application/octet-stream``.
    header
        The instance's metadata: a DICOM JSON object or a pydicom dataset. LUTs given as ``BulkDataURI`` only
        cannot be applied.
    frame
        Which frame these bytes are, from 1, to find its functional groups; None for the representative one.
    window, size, media_type, quality, max_frame_bytes
        As in `render`.
    """
    from imaging.source import single_frame_source

    number = choose_frame(header, frame)
    opened = single_frame_source(frame_bytes, transfer_syntax_uid, header)
    return _render(opened, number, window, size, media_type, quality, max_frame_bytes)


def _render(
    source: "PixelSource",
    frame: int | None,
    window: Window | None,
    size: int | None,
    media_type: MediaType,
    quality: int,
    max_frame_bytes: int,
) -> Picture:
    from imaging.decode import decode_frame
    from imaging.display import scale, to_image
    from imaging.failures import broken_input_is_cannot_decode

    with broken_input_is_cannot_decode("reading the header"):
        number = choose_frame(source.header, frame)
        height_to_width = pixel_height_to_width(source.header, number)
    decoded = decode_frame(source, number - 1, max_frame_bytes=max_frame_bytes)
    with broken_input_is_cannot_decode("applying lookup tables"):
        image = to_image(decoded, source.header, frame=number, window=window)
    return encode(scale(image, height_to_width, size), media_type=media_type, quality=quality)
