"""What a compressed frame says of its own size, read before any decoder allocates memory for it."""

from struct import unpack_from
from typing import NamedTuple

from imaging.errors import CannotDecode

_SOI, _J2K = b"\xff\xd8", b"\xff\x4f\xff\x51"
_JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  "
# Start of frame: C0-CF without DHT (C4), JPG (C8) and DAC (CC), and F7 of JPEG-LS
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_STANDALONE = frozenset(range(0xD0, 0xD9)) | {0x01}
_START_OF_SCAN, _END_OF_IMAGE, _APP14 = 0xDA, 0xD9, 0xEE
# A JP2 file wraps the codestream in boxes; the header boxes before it are small
_JP2_SEARCH = 65536


class FrameHeader(NamedTuple):
    """The size a codestream claims: rows and columns in pixels, components a pixel, bits a component."""

    rows: int
    columns: int
    components: int
    precision: int
    has_adobe_marker: bool


def read_frame_header(frame: bytes) -> FrameHeader:
    """Return what a JPEG, JPEG-LS or JPEG 2000 frame says of itself.

    From the start-of-frame segment (ISO 10918-1 B.2.2, ISO 14495-1 C.2.2) or the SIZ marker segment
    (ISO 15444-1 A.5.1).

    Raises
    ------
    CannotDecode
        The frame is none of these, or ends before it says so.
    """
    if frame[:2] == _SOI:
        return _read_jpeg(frame)
    start = frame[:_JP2_SEARCH].find(_J2K) if frame.startswith(_JP2_SIGNATURE) else 0
    if start >= 0 and frame[start : start + 4] == _J2K and len(frame) >= start + 43:
        right, bottom, left, top = unpack_from(">4L", frame, start + 8)
        components, precision = unpack_from(">HB", frame, start + 40)
        return FrameHeader(bottom - top, right - left, components, (precision & 0x7F) + 1, False)
    raise CannotDecode("the frame is not a JPEG, JPEG-LS or JPEG 2000 codestream")


def _read_jpeg(frame: bytes) -> FrameHeader:
    position, has_adobe_marker = 2, False
    while position + 4 <= len(frame):
        if frame[position] != 0xFF:
            break
        marker = frame[position + 1]
        if marker == 0xFF or marker in _STANDALONE:
            position += 1 if marker == 0xFF else 2
            continue
        if marker in (_START_OF_SCAN, _END_OF_IMAGE):
            break
        if marker in _START_OF_FRAME and position + 10 <= len(frame):
            precision, rows, columns, components = unpack_from(">BHHB", frame, position + 4)
            return FrameHeader(rows, columns, components, precision, has_adobe_marker)
        if marker == _APP14 and frame[position + 4 : position + 9] == b"Adobe":
            has_adobe_marker = True
        position += 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
    raise CannotDecode("the JPEG frame has no start-of-frame segment")
