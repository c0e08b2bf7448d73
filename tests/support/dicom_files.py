"""DICOM files made for tests: element by element, to be broken in one place, or of a dataset, such as pydicom's CT."""

import io
import struct
from typing import Any

import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import UID, generate_uid

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
CT = "1.2.840.10008.5.1.4.1.1.2"
_LONG = {b"OB", b"OW", b"SQ", b"UN", b"UT"}


def element(tag: int, vr: bytes, value: bytes, *, implicit: bool = False, length: int | None = None) -> bytes:
    """One data element; `length` lies about how long the value is."""
    if len(value) % 2:
        value += b"\0" if vr in (b"UI", b"OB") else b" "
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    count = len(value) if length is None else length
    if implicit:
        return head + struct.pack("<I", count) + value
    if vr in _LONG:
        return head + vr + b"\0\0" + struct.pack("<I", count) + value
    return head + vr + struct.pack("<H", count) + value


def dataset(*, implicit: bool = False, **changes: bytes | None) -> bytes:
    """The elements of a small instance; a change of None leaves one out."""
    values: dict[str, tuple[int, bytes, bytes]] = {
        "SOPClassUID": (0x00080016, b"UI", CT.encode()),
        "SOPInstanceUID": (0x00080018, b"UI", b"1.2.3.4.5"),
        "AccessionNumber": (0x00080050, b"SH", b"A-77"),
        "Modality": (0x00080060, b"CS", b"CT"),
        "PatientID": (0x00100020, b"LO", b"P-1"),
        "StudyInstanceUID": (0x0020000D, b"UI", b"1.2.3"),
        "SeriesInstanceUID": (0x0020000E, b"UI", b"1.2.3.4"),
    }
    out = b""
    for name, (tag, vr, value) in values.items():
        changed = changes.get(name, value)
        if changed is not None:
            out += element(tag, vr, changed, implicit=implicit)
    return out


def part10(body: bytes, syntax: str = EXPLICIT, *, preamble: bytes = bytes(128)) -> bytes:
    """A whole file around the elements of a dataset."""
    meta = element(0x00020010, b"UI", syntax.encode())
    return preamble + b"DICM" + element(0x00020000, b"UL", struct.pack("<I", len(meta))) + meta + body


def nested(depth: int, *, implicit: bool = False, defined: bool = False) -> bytes:
    """Sequences within sequences, `depth` deep."""
    heads, size = [], 0
    for _ in range(depth):
        head = element(0x00081140, b"SQ", b"", implicit=implicit, length=size + 8 if defined else 0xFFFFFFFF)
        head += struct.pack("<HHI", 0xFFFE, 0xE000, size if defined else 0xFFFFFFFF)
        heads.append(head)
        size += len(head)
    ends = b"" if defined else struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    return b"".join(reversed(heads)) + ends * depth


def saved(image: Dataset) -> bytes:
    """Return a dataset as the bytes of a DICOM file."""
    buffer = io.BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def ct_image(**values: Any) -> Dataset:
    """Return pydicom's CT image with other values, under UIDs of its own unless they are given."""
    image = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(image, name, generate_uid())
    for name, value in values.items():
        setattr(image, name, value)
    image.file_meta.MediaStorageSOPInstanceUID = UID(image.SOPInstanceUID)
    return image
