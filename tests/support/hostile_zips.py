"""ZIPs of less than 1.5 MB that cost as much as a ZIP may."""

import io
import struct
import zipfile
import zlib

from tests.support.upload_files import dicom, zipped


def hostile_nested() -> bytes:
    """A ZIP in a ZIP whose entries lie in the opposite order of its table of contents, each far from the last."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_STORED) as archive:
        for number in range(3500):
            archive.writestr(f"{number}", b"PK\3\4" + bytes(9000))
        archive.filelist.reverse()
    return zipped({"in.zip": inner.getvalue()})


def hostile_shared() -> bytes:
    """A ZIP of 19,000 entries that are all the same 300 kB of deflated nothing."""
    nothing = b"\0\0\0\xff\xff" * 60_000 + zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 33, 0, len(nothing), 100, 1, 0) + b"a" + nothing
    line = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 33, 0, len(nothing), 100, 1, 0, 0, 0, 0, 0, 0) + b"a"
    count = 19_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(line) * count, len(local), 0)
    return local + line * count + end


def hostile_large() -> bytes:
    """A ZIP with an instance of 60 MB of small elements far apart, whose reader goes back a little at each."""
    body = (
        dicom(1, pixels=0)[:-12]
        + (struct.pack("<HH", 0x7FD1, 1) + b"OB\0\0" + struct.pack("<I", 5000) + bytes(5000)) * 12_000
    )
    return zipped({"a.dcm": body})
