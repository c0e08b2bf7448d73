"""Open a Part 10 file up to its pixel data, without reading the pixel data."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from struct import unpack
from typing import Any, BinaryIO

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import dcmread, read_dataset, read_preamble
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from imaging.errors import CannotDecode, TooLarge
from imaging.failures import broken_input_is_cannot_decode
from imaging.inflating import inflated

_PIXEL_KEYWORDS = {
    0x7FE00008: "FloatPixelData",
    0x7FE00009: "DoubleFloatPixelData",
    0x7FE00010: "PixelData",
}
_FLOAT_KEYWORDS = {32: "FloatPixelData", 64: "DoubleFloatPixelData"}
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PixelSource:
    """One image: its header, and a stream that stands at the first byte of the pixel data element's value.

    ``length`` is the value's length in bytes, None where it is undefined (encapsulated). ``is_one_frame`` says that
    the stream holds one bare frame of the image rather than a pixel data element's value.
    """

    header: Dataset
    transfer_syntax: UID
    stream: BinaryIO
    keyword: str
    vr: str
    length: int | None
    is_one_frame: bool = False


def _at_pixel_data(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag in _PIXEL_KEYWORDS


def _after_file_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag.group != 2


def inflate(stream: BinaryIO, *, max_bytes: int) -> BytesIO:
    """Return the inflated rest of a deflated dataset (PS3.5 A.5), stopping at a ceiling.

    pydicom inflates whatever comes, and 1 MB can become 1 GB.

    Parameters
    ----------
    stream
        Stands at the first deflated byte.
    max_bytes
        Ceiling of the inflated size.

    Raises
    ------
    TooLarge
        The dataset is larger than the ceiling.
    zlib.error
        The bytes are not a deflate stream.
    """
    whole = BytesIO()
    for piece in inflated(iter(lambda: stream.read(_CHUNK), b""), at_once=_CHUNK):
        whole.write(piece)
        if whole.tell() > max_bytes:
            raise TooLarge(f"the deflated dataset inflates to more than {max_bytes} bytes")
    whole.seek(0)
    return whole


def read_part10(stream: BinaryIO, *, max_bytes: int) -> Dataset:
    """Read a whole DICOM file.

    Parameters
    ----------
    stream
        A seekable file at its start.
    max_bytes
        Ceiling of a deflated dataset once inflated.

    Raises
    ------
    CannotDecode
        Not a DICOM file.
    TooLarge
        A deflated dataset is larger than the ceiling.
    """
    with broken_input_is_cannot_decode("reading the file"):
        start = stream.tell()
        read_preamble(stream, force=False)
        meta = read_dataset(stream, False, True, stop_when=_after_file_meta)
        if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            return read_dataset(inflate(stream, max_bytes=max_bytes), False, True)
        stream.seek(start)
        return dcmread(stream)


def open_part10(stream: BinaryIO, *, max_bytes: int) -> PixelSource:
    """Read the header of a DICOM file and stop at its pixel data (PS3.10 7.1).

    Parameters
    ----------
    stream
        A seekable file that stands at its preamble.
    max_bytes
        Ceiling of a deflated dataset once inflated.

    Raises
    ------
    CannotDecode
        Not a DICOM file, no transfer syntax, or no pixel data.
    TooLarge
        A deflated dataset is larger than the ceiling.
    """
    with broken_input_is_cannot_decode("reading the header"):
        read_preamble(stream, force=False)
        meta = FileMetaDataset(read_dataset(stream, False, True, stop_when=_after_file_meta))
        syntax = UID(str(meta.get("TransferSyntaxUID", "")))
        if not syntax.is_transfer_syntax:
            raise CannotDecode("the file names no known transfer syntax")
        if syntax == DeflatedExplicitVRLittleEndian:
            stream, syntax = inflate(stream, max_bytes=max_bytes), ExplicitVRLittleEndian
        header = read_dataset(stream, syntax.is_implicit_VR, syntax.is_little_endian, stop_when=_at_pixel_data)
        meta.TransferSyntaxUID = syntax
        header.file_meta = meta
        # A file may be written in another VR encoding than it says; pydicom found out while reading
        return _at_value(stream, header, syntax, is_implicit_vr=header.original_encoding[0] is True)


def _at_value(stream: BinaryIO, header: Dataset, syntax: UID, *, is_implicit_vr: bool) -> PixelSource:
    start = stream.read(8)
    if len(start) < 8:
        raise CannotDecode("the file has no pixel data")
    order = "<" if syntax.is_little_endian else ">"
    if is_implicit_vr:
        group, element, length = unpack(f"{order}HHL", start)
        vr = "OW"
    else:
        group, element, raw_vr, _ = unpack(f"{order}HH2sH", start)
        vr = raw_vr.decode("ascii")
        (length,) = unpack(f"{order}L", stream.read(4))
    keyword = _PIXEL_KEYWORDS[group << 16 | element]
    return PixelSource(header, syntax, stream, keyword, vr, None if length == 0xFFFFFFFF else length)


def single_frame_source(frame: bytes, transfer_syntax_uid: str, header: Dataset | Mapping[str, Any]) -> PixelSource:
    """Join one frame that was fetched alone with its instance's metadata.

    Parameters
    ----------
    frame
        The bare frame.
    transfer_syntax_uid
        How the frame is encoded.
    header
        A pydicom dataset or a DICOM JSON object; it is not changed.

    Raises
    ------
    CannotDecode
        The metadata cannot be read, or the transfer syntax is unknown.
    """
    with broken_input_is_cannot_decode("reading the metadata"):
        syntax = UID(transfer_syntax_uid)
        if not syntax.is_transfer_syntax:
            raise CannotDecode("unknown transfer syntax")
        if syntax == DeflatedExplicitVRLittleEndian:
            syntax = ExplicitVRLittleEndian
        # Values that are only referred to stay empty: nothing here fetches them
        dataset = Dataset.from_json(dict(header)) if isinstance(header, Mapping) else Dataset(header)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax
        bits = int(dataset.BitsAllocated)
        # Real-valued pixels come without PixelRepresentation (PS3.3 C.7.6.24)
        keyword = "PixelData" if "PixelRepresentation" in dataset or bits < 32 else _FLOAT_KEYWORDS[bits]
    return PixelSource(dataset, syntax, BytesIO(frame), keyword, "OW", len(frame), is_one_frame=True)
