"""Values of a DICOM file that its metadata only refer to."""

from typing import TYPE_CHECKING, BinaryIO

from imaging.errors import CannotDecode
from imaging.stored_frames import LARGEST_INFLATED, StoredFrame, StoredFrames, swapped

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

_PIXEL_DATA = "7FE00010"
_EXPLICIT_LITTLE, _EXPLICIT_BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
# Bytes of the words of which a value consists, by its VR (PS3.5 §6.2, §7.3).
_WORDS = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}


def read_value(file: BinaryIO, path: str) -> list[StoredFrame]:
    """Return the value of an element, little endian: compressed pixel data as one entry a frame, else as one.

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
    TooLarge
        It inflates to more than is read into memory.
    """
    from imaging.failures import broken_input_is_cannot_decode
    from imaging.source import read_part10

    if path == _PIXEL_DATA:
        frames = StoredFrames(file)
        compressed = [frames.read(number) for number in range(1, frames.count + 1)]
        if compressed and compressed[0].transfer_syntax_uid != _EXPLICIT_LITTLE:
            return compressed
        return [StoredFrame(b"".join(frame.data for frame in compressed), _EXPLICIT_LITTLE)]
    with broken_input_is_cannot_decode("reading a value"):
        dataset = read_part10(file, max_bytes=LARGEST_INFLATED)
        element = _element(dataset, path.split("."))
        value = element.value
        if not isinstance(value, bytes):
            raise CannotDecode("the element has no bytes for a value")
        # What was read of a deflated file has no file meta information: it is little endian.
        meta = getattr(dataset, "file_meta", {})
        if element.VR in _WORDS and meta.get("TransferSyntaxUID") == _EXPLICIT_BIG:
            value = swapped(value, _WORDS[element.VR])
    return [StoredFrame(value, _EXPLICIT_LITTLE)]


def _element(dataset: "Dataset", path: list[str]) -> "DataElement":
    tag, *rest = path
    element = dataset.get(int(tag, 16))
    if element is None:
        raise CannotDecode("there is no such element")
    if not rest:
        return element
    items = element.value if element.VR == "SQ" else []
    number = int(rest[0])
    if number >= len(items):
        raise CannotDecode("there is no such item")
    return _element(items[number], rest[1:])
