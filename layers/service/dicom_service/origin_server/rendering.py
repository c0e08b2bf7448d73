"""Rendered images and thumbnails for viewers (PS3.18 §10.4.1.1.3, §10.4.1.1.5): what is asked for, and the picture."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver

import imaging
from dicom_service.errors import BadRequest
from dicom_service.origin_server.accept import accepted, not_acceptable
from dicom_service.thumbnails.thumbnailer import ThumbnailRequest
from imaging.header import values

# Beyond this a picture does not fit into an answer, and encoding a PNG in color outlasts the request.
LARGEST_SIDE = 4096
THUMBNAIL_SIDE = 256
_MEDIA_TYPES: tuple[imaging.MediaType, ...] = ("image/jpeg", "image/png")
_VIEWPORT = re.compile(r"([1-9][0-9]{0,4}),([1-9][0-9]{0,4})")
_NUMBER = r"-?[0-9]{1,8}(?:\.[0-9]{1,4})?"
_WINDOW = re.compile(rf"({_NUMBER}),({_NUMBER}),(linear|linear-exact|sigmoid)")
_QUALITY = re.compile(r"[1-9][0-9]?|100")
_ROWS, _COLUMNS = "00280010", "00280011"


@dataclass(frozen=True)
class Rendering:
    """How a caller wants an image to be shown.

    Parameters
    ----------
    viewport
        The width and height that it has to fit into; None for its own size, or that of a thumbnail.
    window
        The window to show it with; None for the file's own.
    """

    media_type: imaging.MediaType
    viewport: tuple[int, int] | None
    window: imaging.Window | None

    def picture(self, header: Mapping[str, Any], frame: int | None) -> ThumbnailRequest:
        """Return the request for a rendered image of an instance with these attributes."""
        return ThumbnailRequest(self._side(header, LARGEST_SIDE), self.media_type, frame, self.window, own_window=True)

    def thumbnail(self, header: Mapping[str, Any]) -> ThumbnailRequest:
        """Return the request for a thumbnail of an instance with these attributes."""
        return ThumbnailRequest(self._side(header, THUMBNAIL_SIDE), self.media_type)

    def _side(self, header: Mapping[str, Any], most: int) -> int:
        """Return the longest side of a picture that fits; the aspect ratio stays, and nothing is enlarged."""
        rows, columns = (int((values(header, tag) or [most])[0] or most) for tag in (_ROWS, _COLUMNS))
        longest = max(rows, columns, 1)
        if self.viewport is None:
            return min(longest, most)
        scale = min(self.viewport[0] / max(columns, 1), self.viewport[1] / max(rows, 1), 1.0)
        return max(1, min(round(longest * scale), LARGEST_SIDE))


def read_rendering(app: APIGatewayRestResolver) -> Rendering:
    """Read what a request wants; other parameters of the standard change nothing here.

    Raises
    ------
    BadRequest
        A parameter cannot be read.
    NotAcceptable
        The caller takes neither JPEG nor PNG.
    """
    media_type = next(
        (kind for each in accepted(app) if not each.is_multipart for kind in _MEDIA_TYPES if each.covers(kind)), None
    )
    if media_type is None:
        raise not_acceptable(_MEDIA_TYPES)
    query = app.current_event.query_string_parameters or {}
    viewport = _read("viewport", _VIEWPORT, query)
    window = _read("window", _WINDOW, query)
    _read("quality", _QUALITY, query)
    shown = None
    if window is not None:
        center, width, function = float(window[1]), float(window[2]), window[3].upper().replace("-", "_")
        if width <= 0 or (function == "LINEAR" and width < 1):
            raise _unreadable("window")
        shown = imaging.Window(center, width, function)
    return Rendering(media_type, (int(viewport[1]), int(viewport[2])) if viewport else None, shown)


def _read(name: str, pattern: re.Pattern[str], query: Mapping[str, str]) -> re.Match[str] | None:
    text = query.get(name)
    if text is None:
        return None
    found = pattern.fullmatch(text.strip().lower())
    if found is None:
        raise _unreadable(name)
    return found


def _unreadable(name: str) -> BadRequest:
    forms = {"viewport": "width,height", "window": "center,width,linear|linear-exact|sigmoid", "quality": "1 to 100"}
    problem = {"field": name, "problem": f"not {forms[name]}"}
    return BadRequest("The parameters of the rendering cannot be read.", code="INVALID_PARAMETER", errors=[problem])
