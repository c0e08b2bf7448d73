"""Values of a DICOM file that its metadata only refer to."""

from typing import TYPE_CHECKING, BinaryIO

from imaging.errors import CannotDecode
from imaging.stored_frames import StoredFrame, StoredFrames

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_PIXEL_DATA = "7FE00010"
_EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"


def read_value(file: BinaryIO, path: str) -> list[StoredFrame]:
    """Return the value of an element: compressed pixel data as one entry a frame, anything else as one.

    Parameters
    ----------
    file
        A seekable Part 10 file at its start.
    path
        The element's tag, eight hexadecimal digits; for one inside sequences, the tags and item numbers from 0 on the
        way to it, joined by dots.

    Raises
    ------
    CannotDecode
        This is no DICOM file, or it has no such element with bytes for a value.
    """
    from pydicom import dcmread

    from imaging.failures import broken_input_is_cannot_decode

    if path == _PIXEL_DATA:
        frames = StoredFrames(file)
        compressed = [frames.read(number) for number in range(1, frames.count + 1)]
        if compressed and compressed[0].transfer_syntax_uid != _EXPLICIT_LITTLE:
            return compressed
        return [StoredFrame(b"".join(frame.data for frame in compressed), _EXPLICIT_LITTLE)]
    with broken_input_is_cannot_decode("reading a value"):
        value = _value(dcmread(file), path.split("."))
    if not isinstance(value, bytes):
        raise CannotDecode("the element has no bytes for a value")
    return [StoredFrame(value, _EXPLICIT_LITTLE)]


def _value(dataset: "Dataset", path: list[str]) -> object:
    tag, *rest = path
    element = dataset.get(int(tag, 16))
    if element is None:
        raise CannotDecode("there is no such element")
    if not rest:
        return element.value
    items = element.value if element.VR == "SQ" else []
    number = int(rest[0])
    if number >= len(items):
        raise CannotDecode("there is no such item")
    return _value(items[number], rest[1:])
