"""A DICOM file as it is sent: preamble zeroed, deflated dataset inflated, length known before the first byte."""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dicom_service.element_walk import NotDicom
from dicom_service.part10 import PREAMBLE_LENGTH, Header
from dicom_service.uploads.s3source import ObjectMissing, StorageError

if TYPE_CHECKING:
    from dicomweb.client import StorePart

DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
_META_CEILING = 1 << 16
_LONG = frozenset({b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC", b"UR"})

Stream = Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class OutboundInstance:
    """An instance that can be sent, as often as needed.

    Parameters
    ----------
    header
        What the file says of itself.
    size
        Bytes that `stream` gives.
    stream
        A new iterator over the file at each call.
    """

    header: Header
    size: int
    stream: Stream

    def part(self) -> "StorePart":
        """Give it as part of a STOW-RS request (PS3.18 §10.5)."""
        from dicomweb.client import StorePart

        return StorePart(
            sop_class_uid=self.header.sop_class_uid,
            sop_instance_uid=self.header.sop_instance_uid,
            study_instance_uid=self.header.study_instance_uid,
            series_instance_uid=self.header.series_instance_uid,
            size=self.size,
            open=lambda: _readable(self.stream()),
        )


def _readable(chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from chunks
    except (ObjectMissing, StorageError) as error:
        # The client knows an OSError for trouble on our side, not the PACS's.
        raise OSError("the staged object cannot be read") from error


def prepare(header: Header, size: int, stream: Stream, *, max_inflated: int) -> OutboundInstance:
    """Make a file ready to be sent.

    The preamble is zeroed: what is in it can be run or rendered as something else (CVE-2019-11687). A deflated dataset
    is sent inflated, as Explicit VR Little Endian, which is what was deflated (PS3.5 §A.5): many PACS do not take
    deflated ones, and none should have to meet a bomb.

    Parameters
    ----------
    header
        What `dicom_service.part10.read_header` found.
    size
        Bytes of the file as it is.
    stream
        A new iterator over the file at each call.
    max_inflated
        Ceiling in bytes for the inflated dataset.

    Raises
    ------
    NotDicom
        The deflated dataset is damaged or passes the ceiling.
    """
    if header.transfer_syntax_uid != DEFLATED:
        return OutboundInstance(header, size, lambda: _blank_preamble(stream()))
    inflated = sum(len(chunk) for chunk in _inflated_file(stream(), max_inflated))
    return OutboundInstance(header, inflated, lambda: _inflated_file(stream(), max_inflated))


def _blank_preamble(chunks: Iterator[bytes]) -> Iterator[bytes]:
    left = PREAMBLE_LENGTH
    yield bytes(left)
    for chunk in chunks:
        if left >= len(chunk):
            left -= len(chunk)
            continue
        yield memoryview(chunk)[left:] if left else chunk  # type: ignore[misc]
        left = 0


def _inflated_file(chunks: Iterator[bytes], ceiling: int) -> Iterator[bytes]:
    head = bytearray()
    for chunk in chunks:
        head += chunk
        meta_end = _meta_end(head)
        if meta_end:
            break
        if len(head) > _META_CEILING:
            raise NotDicom("MALFORMED", "The file meta information has no end.")
    else:
        raise NotDicom("TRUNCATED", "The file meta information ends too early.")
    yield bytes(PREAMBLE_LENGTH) + b"DICM" + _as_explicit_little(bytes(head[PREAMBLE_LENGTH + 4 : meta_end]))
    yield from _inflate(_chain(bytes(head[meta_end:]), chunks), ceiling)


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _inflate(chunks: Iterator[bytes], ceiling: int) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    given = 0
    for chunk in chunks:
        while chunk and not inflater.eof:
            try:
                piece = inflater.decompress(chunk, 1 << 20)
            except zlib.error as error:
                raise NotDicom("TRUNCATED", "The deflated dataset is damaged.") from error
            given += len(piece)
            if given > ceiling:
                raise NotDicom("DEFLATE_BOMB", f"The file inflates to more than {ceiling} bytes.")
            yield piece
            chunk = inflater.unconsumed_tail
    if not inflater.eof:
        raise NotDicom("TRUNCATED", "The deflated dataset ends too early.")


def _meta_elements(data: bytes | bytearray, start: int) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield (start, start of value, end, tag and VR) of the group 2 elements that are whole (PS3.10 §7.1)."""
    position = start
    while position + 12 <= len(data) and data[position : position + 2] == b"\2\0":
        name = bytes(data[position + 2 : position + 6])
        if name[2:] in _LONG:
            value, length = position + 12, struct.unpack_from("<I", data, position + 8)[0]
        else:
            value, length = position + 8, struct.unpack_from("<H", data, position + 6)[0]
        if value + length > len(data):
            return
        yield position, value, value + length, name
        position = value + length


def _meta_end(data: bytearray) -> int:
    """Give where the dataset starts; 0 while that is not in `data` yet."""
    end = max((end for _, _, end, _ in _meta_elements(data, PREAMBLE_LENGTH + 4)), default=0)
    return end if end and len(data) >= end + 2 and data[end : end + 2] != b"\2\0" else 0


def _as_explicit_little(meta: bytes) -> bytes:
    """Name the transfer syntax Explicit VR Little Endian and correct the group length (PS3.10 Table 7.1-1)."""
    body = b""
    for start, _, end, name in _meta_elements(meta, 0):
        if name[:2] == b"\x10\0":
            syntax = EXPLICIT_LITTLE.encode() + b"\0"
            body += b"\2\0\x10\0UI" + struct.pack("<H", len(syntax)) + syntax
        elif name[:2] != b"\0\0":
            body += meta[start:end]
    return b"\2\0\0\0UL" + struct.pack("<HI", 4, len(body)) + body
