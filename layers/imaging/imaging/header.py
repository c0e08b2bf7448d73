"""Read attributes from an instance's header, be it a pydicom ``Dataset`` or the DICOM JSON Model.

Nothing here imports pydicom or numpy: a caller can decide what to do with an instance before paying for either.
"""

import math
import struct
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from imaging.errors import CannotDecode, FrameNotFound

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

ROWS, COLUMNS = "00280010", "00280011"
SAMPLES_PER_PIXEL, BITS_ALLOCATED, NUMBER_OF_FRAMES = "00280002", "00280100", "00280008"
FRAME_VOI_LUT, PIXEL_VALUE_TRANSFORMATION, PIXEL_MEASURES = "00289132", "00289145", "00289110"
_REPRESENTATIVE_FRAME_NUMBER = "00286010"
_WINDOW_CENTER, _WINDOW_WIDTH, _VOI_LUT_FUNCTION = "00281050", "00281051", "00281056"
_SHARED_GROUPS, _PER_FRAME_GROUPS = "52009229", "52009230"
# PixelSpacing, ImagerPixelSpacing, NominalScannedPixelSpacing: vertical \\ horizontal distance, in mm
_SPACINGS = ("00280030", "00181164", "00182010")
_PIXEL_ASPECT_RATIO = "00280034"
# A pixel fifty times as tall as wide is a typing error, not a detector
_EXTREME_RATIO = 50.0


class Window(NamedTuple):
    """A VOI window in units of the modality LUT's output (PS3.3 C.11.2.1.2)."""

    center: float
    width: float
    function: str


def values(header: "Dataset | Mapping[str, Any]", tag: str) -> list[Any]:
    """Return all values of one attribute, as a list that is empty when it is absent or has none.

    Parameters
    ----------
    header
        A pydicom dataset, or an object of the DICOM JSON Model (PS3.18 F.2).
    tag
        Eight upper-case hexadecimal digits, such as ``"00280010"``.
    """
    value = _json_value(header, tag) if isinstance(header, Mapping) else _dataset_value(header, tag)
    if value is None or value == "":
        return []
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return [value]
    return [each for each in value if each is not None]


def _json_value(header: Mapping[str, Any], tag: str) -> Any:
    element = header.get(tag)
    if element is None:
        return None
    if not isinstance(element, Mapping):
        raise CannotDecode(f"({tag[:4]},{tag[4:]}) is not an element of the DICOM JSON Model")
    return element.get("Value")


def _dataset_value(header: "Dataset", tag: str) -> Any:
    # pydicom converts a value when it is first asked for, and only then finds it malformed
    try:
        element = header.get(int(tag, 16))
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError, struct.error) as error:
        raise CannotDecode(f"({tag[:4]},{tag[4:]}) is malformed") from error
    return None if element is None else element.value


def first(header: "Dataset | Mapping[str, Any]", tag: str) -> Any:
    """Return the first value of one attribute, or None."""
    found = values(header, tag)
    return found[0] if found else None


def text(header: "Dataset | Mapping[str, Any]", tag: str) -> str:
    """Return the first value of one attribute as upper-case text, empty when absent."""
    return str(first(header, tag) or "").strip(" \0").upper()


def number(header: "Dataset | Mapping[str, Any]", tag: str) -> float | None:
    """Return the first value of one attribute as a finite number, or None."""
    found = _numbers(values(header, tag)[:1])
    return found[0] if found else None


def _numbers(raw: list[Any]) -> list[float]:
    found = []
    for each in raw:
        try:
            value = float(each)
        except (TypeError, ValueError, OverflowError):
            continue
        if math.isfinite(value):
            found.append(value)
    return found


def number_of_frames(header: "Dataset | Mapping[str, Any]") -> int:
    """Return how many frames the image has, 1 where NumberOfFrames is absent or not positive."""
    return max(1, int(number(header, NUMBER_OF_FRAMES) or 1))


def representative_frame(header: "Dataset | Mapping[str, Any]") -> int:
    """Return the number, from 1, of the frame that stands for the image.

    RepresentativeFrameNumber (0028,6010) where it is given and exists, else the middle frame (PS3.3 C.7.6.6).
    """
    frames = number_of_frames(header)
    named = int(number(header, _REPRESENTATIVE_FRAME_NUMBER) or 0)
    return named if 1 <= named <= frames else (frames + 1) // 2


def choose_frame(header: "Dataset | Mapping[str, Any]", frame: int | None) -> int:
    """Return the asked frame's number once it is known to exist, the representative one for None.

    Raises
    ------
    CannotDecode
        The header is malformed: an element that cannot be read, or not the DICOM JSON Model.
    FrameNotFound
        The image has no such frame.
    """
    if frame is None:
        return representative_frame(header)
    if not 1 <= frame <= number_of_frames(header):
        raise FrameNotFound(f"frame {frame} of {number_of_frames(header)}")
    return frame


def functional_group(header: "Dataset | Mapping[str, Any]", tag: str, frame: int) -> Any:
    """Return the item of one functional group macro that holds for one frame, or None (PS3.3 C.7.6.16).

    Parameters
    ----------
    header
        A pydicom dataset or DICOM JSON object.
    tag
        The macro's sequence.
    frame
        The frame's number, from 1.
    """
    per_frame = values(header, _PER_FRAME_GROUPS)[frame - 1 : frame]
    for groups in per_frame + values(header, _SHARED_GROUPS)[:1]:
        item = first(groups, tag)
        if item is not None:
            return item
    return None


def window_of(header: "Dataset | Mapping[str, Any]", frame: int | None = None) -> Window | None:
    """Return the window the file asks to be shown with, to render with it or to pass it to a PACS's ``/rendered``.

    The first of several windows; the frame's own where functional groups give one. None where the file has no
    usable window. The function is ``LINEAR``, ``LINEAR_EXACT`` or ``SIGMOID`` (PS3.3 C.11.2.1.2, C.7.6.16.2.10).

    Parameters
    ----------
    header
        A pydicom dataset or DICOM JSON object.
    frame
        The frame's number, from 1; None for the representative one.
    """
    chosen = representative_frame(header) if frame is None else frame
    for source in (functional_group(header, FRAME_VOI_LUT, chosen), header):
        if source is None:
            continue
        center, width = number(source, _WINDOW_CENTER), number(source, _WINDOW_WIDTH)
        if center is None or width is None or width <= 0:
            continue
        function = text(source, _VOI_LUT_FUNCTION) or "LINEAR"
        if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
            continue
        # LINEAR divides by width - 1 and needs at least 1; files with real-valued pixels use less all the same
        return Window(center, width, "LINEAR_EXACT" if function == "LINEAR" and width < 1 else function)
    return None


def pixel_height_to_width(header: "Dataset | Mapping[str, Any]", frame: int) -> float:
    """Return how tall a pixel is for its width: 1.0 for square pixels and where nothing usable is said.

    From PixelSpacing (the frame's own first), ImagerPixelSpacing, NominalScannedPixelSpacing or PixelAspectRatio,
    each *vertical* then *horizontal* (PS3.3 C.7.6.3.1.7, 10.7.1.3).

    Parameters
    ----------
    header
        A pydicom dataset or DICOM JSON object.
    frame
        The frame's number, from 1.
    """
    measures = functional_group(header, PIXEL_MEASURES, frame)
    candidates = [] if measures is None else [values(measures, _SPACINGS[0])]
    candidates += [values(header, tag) for tag in (*_SPACINGS, _PIXEL_ASPECT_RATIO)]
    for candidate in candidates:
        pair = _numbers(candidate)
        if len(pair) == 2 and min(pair) > 0 and max(pair) / min(pair) <= _EXTREME_RATIO:
            return pair[0] / pair[1]
    return 1.0


def frame_bytes(header: "Dataset | Mapping[str, Any]") -> int:
    """Return how many bytes one decoded frame takes, by Rows, Columns, SamplesPerPixel and BitsAllocated."""
    rows, columns = number(header, ROWS) or 0, number(header, COLUMNS) or 0
    samples = number(header, SAMPLES_PER_PIXEL) or 1
    sample_bytes = max(1, math.ceil((number(header, BITS_ALLOCATED) or 8) / 8))
    return int(rows * columns * samples) * sample_bytes
