"""The parameters of a request for a thumbnail or for a picture of an instance."""

import re
from collections.abc import Mapping
from dataclasses import replace

from dicom_service.errors import BadRequest
from dicom_service.query import Query
from dicom_service.thumbnails.thumbnailer import ThumbnailRequest
from imaging import Window

DICOM = "application/dicom"
IMAGE_TYPES = ("image/jpeg", "image/png")
DEFAULT_SIZE, MIN_SIZE, MAX_SIZE = 256, 16, 2048
# A color PNG beyond this does not fit into an answer of Lambda.
_MAX_SIZE_OF_PNG = 1024
_MAX_FRAME = 1_000_000
# Center and width in Hounsfield units, as viewers name them.
WINDOWS: Mapping[str, tuple[float, float]] = {
    "brain": (40, 80),
    "subdural": (75, 215),
    "lung": (-600, 1500),
    "bone": (480, 2500),
    "abdomen": (40, 400),
    "mediastinum": (50, 350),
}
_OWN_WINDOW = "default"
_CENTER_AND_WIDTH = re.compile(
    r"-?[0-9]{1,8}(\.[0-9]{1,4})?,([1-9][0-9]{0,7}(\.[0-9]{1,4})?|0\.[0-9]{0,3}[1-9])", re.ASCII
)


def parse_thumbnail_request(query: Query) -> ThumbnailRequest:
    """Return ``size`` and ``fileType`` of a thumbnail."""
    media_type = query.choice("fileType", IMAGE_TYPES, default="image/jpeg")
    size = query.integer("size", default=DEFAULT_SIZE, minimum=MIN_SIZE, maximum=MAX_SIZE)
    return ThumbnailRequest(min(size, _MAX_SIZE_OF_PNG) if media_type == "image/png" else size, media_type)


def parse_picture_request(query: Query) -> ThumbnailRequest:
    """Return what `parse_thumbnail_request` does, with ``frame`` and ``window`` of one instance."""
    request, frame = parse_thumbnail_request(query), None
    if query.text("frame") is not None:
        frame = query.integer("frame", default=1, minimum=1, maximum=_MAX_FRAME)
    text = query.text("window") or ""
    window = _window(text)
    if text and text != _OWN_WINDOW and window is None:
        query.fail("window", f"neither center,width nor one of {_OWN_WINDOW}, {', '.join(WINDOWS)}")
    return replace(request, frame=frame, window=window, own_window=text == _OWN_WINDOW)


def _window(text: str) -> Window | None:
    """Return a window by its name, or by center and width in units of the modality LUT's output (PS3.3 C.11.2.1.2)."""
    if text in WINDOWS:
        return Window(*WINDOWS[text], "LINEAR")
    if not _CENTER_AND_WIDTH.fullmatch(text):
        return None
    center, width = map(float, text.split(","))
    return Window(center, width, "LINEAR" if width >= 1 else "LINEAR_EXACT")


def parse_file_type(query: Query) -> str:
    """Return ``fileType`` of an instance.

    Raises
    ------
    BadRequest
        It is absent or unknown.
    """
    file_type = query.choice("fileType", (DICOM, *IMAGE_TYPES))
    query.check()
    if file_type is None:
        known = ", ".join((DICOM, *IMAGE_TYPES))
        raise BadRequest(f"fileType is required: one of {known}.", code="INVALID_PARAMETER")
    return str(file_type)
