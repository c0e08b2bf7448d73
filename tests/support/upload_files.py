"""DICOM files, good and bad, made in memory by hand: what is wrong with them is then certain."""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Mapping

from tests.support.dicom_files import CT, EXPLICIT, element

DEFLATED = "1.2.840.10008.1.2.1.99"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
ROOT = "1.2.826.0.1.3680043.10.1234"


def text(tag: int, vr: str, value: str) -> bytes:
    return element(tag, vr.encode(), value.encode())


def meta(sop_uid: str, syntax: str = EXPLICIT, sop_class: str = CT) -> bytes:
    body = element(0x00020001, b"OB", b"\0\1") + text(0x00020002, "UI", sop_class)
    body += text(0x00020003, "UI", sop_uid) + text(0x00020010, "UI", syntax)
    return element(0x00020000, b"UL", struct.pack("<I", len(body))) + body


def dataset(
    number: int = 1,
    *,
    study: str = f"{ROOT}.1",
    pixels: int = 512,
    leave_out: frozenset[int] = frozenset(),
    **uids: str,
) -> bytes:
    values = {
        0x00080016: ("UI", CT),
        0x00080018: ("UI", uids.get("sop", f"{study}.1.{number}")),
        0x00080060: ("CS", "CT"),
        0x00100010: ("PN", "CANARY^PATIENT"),
        0x00100020: ("LO", "P1"),
        0x0020000D: ("UI", uids.get("study_uid", study)),
        0x0020000E: ("UI", f"{study}.1"),
        0x00200013: ("IS", str(number)),
    }
    out = b"".join(text(tag, vr, value) for tag, (vr, value) in values.items() if tag not in leave_out)
    return out + element(0x7FE00010, b"OW", bytes(pixels))


def dicom(number: int = 1, *, study: str = f"{ROOT}.1", preamble: bytes = bytes(128), pixels: int = 512) -> bytes:
    """A CT instance."""
    return preamble + b"DICM" + meta(f"{study}.1.{number}") + dataset(number, study=study, pixels=pixels)


def fragments(number: int = 1, *, study: str = f"{ROOT}.1", count: int, size: int) -> bytes:
    """A multi-frame instance, compressed, in so many fragments of pixel data, each of other bytes (PS3.5 §A.4)."""
    item = struct.pack("<HH", 0xFFFE, 0xE000)
    body = dataset(number, study=study, pixels=0)[:-12] + text(0x00280008, "IS", str(count))
    body += struct.pack("<HH", 0x7FE0, 0x0010) + b"OB\0\0" + b"\xff" * 4 + item + bytes(4)
    for place in range(count):
        code = random.Random(place).randbytes(min(size, 4096))
        body += item + struct.pack("<I", size) + (code * (size // len(code) + 1))[:size]
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return bytes(128) + b"DICM" + meta(uid(number, study), JPEG_2000) + body + end


def uid(number: int, study: str = f"{ROOT}.1") -> str:
    return f"{study}.1.{number}"


def deflated(number: int = 1, *, pixels: int = 512) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = packer.compress(dataset(number, pixels=pixels)) + packer.flush()
    return bytes(128) + b"DICM" + meta(uid(number), DEFLATED) + body


def deep(levels: int) -> bytes:
    """A file whose sequences lie `levels` deep within each other."""
    head = struct.pack("<HH", 0x0040, 0xA730) + b"SQ\0\0" + struct.pack("<I", 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    ends = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return bytes(128) + b"DICM" + meta(uid(1)) + dataset(1, pixels=0) + (head + item) * levels + ends * levels


def zipped(entries: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def dicomdir() -> bytes:
    media = "1.2.840.10008.1.3.10"
    return bytes(128) + b"DICM" + meta(uid(9), sop_class=media) + text(0x00041130, "CS", "STUDY")


# What must be refused, and with which reason.
BAD: Mapping[str, tuple[str, bytes]] = {
    "empty file": ("EMPTY", b""),
    "text file": ("NO_DICM", b"Dear colleague, please find enclosed\n" * 20),
    "no SOP UIDs": ("NO_SOP_UIDS", bytes(128) + b"DICM" + meta(uid(1)) + dataset(leave_out=frozenset({0x00080018}))),
    "truncated pixel data": ("TRUNCATED", dicom(pixels=4096)[:-1000]),
    "truncated header": ("TRUNCATED", dicom()[:300]),
    "invalid UID": ("INVALID_UID", bytes(128) + b"DICM" + meta(uid(1)) + dataset(sop="1.2.x/../../etc")),
    "too long UID": ("INVALID_UID", bytes(128) + b"DICM" + meta(uid(1)) + dataset(sop="1." + "2" * 70)),
    "DICM and garbage": ("MALFORMED", bytes(128) + b"DICM" + meta(uid(1)) + b"\xff\xfa\x13\x77garbage" * 40),
    "only DICM": ("NO_TRANSFER_SYNTAX", bytes(128) + b"DICM"),
    "DICOMDIR alone": ("DICOMDIR", dicomdir()),
    "1,000 deep": ("TOO_DEEP", deep(1000)),
    "deflate bomb": ("DEFLATE_BOMB", deflated(pixels=300_000_000)),
    "damaged deflate": ("TRUNCATED", deflated(pixels=4096)[:-12]),
    "zip bomb": ("ZIP_BOMB", zipped({"a.dcm": bytes(100_000_000)})),
    "cut off ZIP": ("ZIP_DAMAGED", zipped({"a.dcm": dicom(pixels=4096)})[:-40]),
    "ZIP without DICOM": ("NO_INSTANCES", zipped({"readme.txt": b"hello", "viewer.exe": b"MZ" * 300})),
    "empty ZIP": ("NO_INSTANCES", zipped({})),
}
