"""ZIPs that are damaged in one way each, beside a good entry; made by rule from a seed."""

import io
import random
import struct
import zipfile
from collections.abc import Callable, Mapping

from tests.support.upload_files import ROOT, dicom

GOOD, BAD = "good.dcm", "bad.dcm"


def _packed(method: int, study: str) -> tuple[bytearray, zipfile.ZipInfo, int]:
    """A ZIP of a bad and a good entry; the bad one's place in the table of contents and where its bytes begin."""
    noise = random.Random(study).randbytes(3000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for number, name in enumerate((BAD, GOOD), start=1):
            archive.writestr(name, dicom(number, study=study, pixels=3000)[:-3000] + noise)
        info = archive.getinfo(BAD)
    return bytearray(buffer.getvalue()), info, 30 + len(BAD)


def _flipped(method: int, place: int) -> Callable[[str], bytes]:
    def make(study: str) -> bytes:
        data, _, start = _packed(method, study)
        data[start + place] ^= 0xFF
        return bytes(data)

    return make


def _filled(method: int, first: int, length: int, value: bytes) -> Callable[[str], bytes]:
    def make(study: str) -> bytes:
        data, _, start = _packed(method, study)
        data[start + first : start + first + length] = (value * length)[:length]
        return bytes(data)

    return make


def _directory(field: int, code: str, value: int) -> Callable[[str], bytes]:
    """Change a field of the bad entry's line in the table of contents."""

    def make(study: str) -> bytes:
        data, _, _ = _packed(zipfile.ZIP_DEFLATED, study)
        struct.pack_into(code, data, data.index(b"PK\1\2") + field, value)
        return bytes(data)

    return make


def _local(field: int, value: bytes) -> Callable[[str], bytes]:
    def make(study: str) -> bytes:
        data, _, _ = _packed(zipfile.ZIP_DEFLATED, study)
        data[field : field + len(value)] = value
        return bytes(data)

    return make


def _utf8_name(study: str) -> bytes:
    data = bytearray(_local(30, b"\xff\xfe")(study))
    data[7] |= 0x08  # the flag that says UTF-8 (APPNOTE.TXT 4.4.4, bit 11)
    return bytes(data)


# Each is a ZIP whose first entry cannot be read and whose second is good.
DAMAGES: Mapping[str, Callable[[str], bytes]] = {
    "stored, one bit": _flipped(zipfile.ZIP_STORED, 1000),
    "deflated, one byte": _flipped(zipfile.ZIP_DEFLATED, 1500),
    "deflated, block type that is none": _filled(zipfile.ZIP_DEFLATED, 0, 1, b"\x07"),
    "deflated, zeros": _filled(zipfile.ZIP_DEFLATED, 20, 400, b"\0"),
    "BZIP2, one byte": _flipped(zipfile.ZIP_BZIP2, 1500),
    "BZIP2, no magic": _filled(zipfile.ZIP_BZIP2, 0, 4, b"XXXX"),
    "BZIP2, zeros": _filled(zipfile.ZIP_BZIP2, 40, 600, b"\0"),
    "LZMA, one byte": _flipped(zipfile.ZIP_LZMA, 1500),
    "LZMA, properties that are none": _filled(zipfile.ZIP_LZMA, 4, 1, b"\xff"),
    "LZMA, length of the properties": _filled(zipfile.ZIP_LZMA, 2, 2, b"\xff"),
    "LZMA, properties that do not fit": _filled(zipfile.ZIP_LZMA, 4, 1, b"\x0a"),
    "LZMA, dictionary of 4 GB": _filled(zipfile.ZIP_LZMA, 5, 9, b"\xff"),
    "LZMA, zeros": _filled(zipfile.ZIP_LZMA, 9, 600, b"\0"),
    "unknown packing 9": _directory(10, "<H", 9),
    "unknown packing 99": _directory(10, "<H", 99),
    "said to be BZIP2": _directory(10, "<H", zipfile.ZIP_BZIP2),
    "said to be LZMA": _directory(10, "<H", zipfile.ZIP_LZMA),
    "patched data": _directory(8, "<H", 0x20),
    "other checksum": _directory(16, "<L", 1),
    "shorter than it is": _directory(24, "<L", 1000),
    "longer than it is": _directory(24, "<L", 100_000),
    "packed bytes cut off": _directory(20, "<L", 700),
    "header beyond the end": _directory(42, "<L", 100_000_000),
    "header within another": _directory(42, "<L", 5),
    "name of another file": _local(30, b"odd"),
    "name that is not UTF-8": _utf8_name,
    "name without end": _local(26, b"\xff\xff"),
    "extra field without end": _local(28, b"\xff\xff"),
}


def random_damage(seed: int) -> bytes:
    """A ZIP with some bytes of it changed, anywhere."""
    chance = random.Random(seed)
    method = chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    data, _, _ = _packed(method, f"{ROOT}.{seed}")
    for _ in range(chance.randint(1, 12)):
        data[chance.randrange(4, len(data))] = chance.randrange(256)
    return bytes(data[: chance.randint(22, len(data))] if chance.random() < 0.1 else data)
