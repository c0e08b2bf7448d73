"""A DICOM file as it is stored: header checked, preamble zeroed, deflated dataset inflated, length known beforehand.

Every file takes this way, whether it comes with a request, through the staging bucket or in a ZIP.
"""

import itertools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dicom_service.element_walk import MAX_DEPTH, ElementWalk, NotDicom, ObjectMissing, Source, StorageError
from dicom_service.exams.registry import Arrived
from dicom_service.native_syntaxes import DEFLATED, EXPLICIT_LITTLE
from dicom_service.part10 import MAX_INFLATED, PREAMBLE_LENGTH, BytesSource, Header, inflate, read_header

if TYPE_CHECKING:
    from dicomweb.client import StorePart

_GROUP_LENGTH, _TRANSFER_SYNTAX = 0x00020000, 0x00020010
# Of a deflated file, whose file meta information is held in memory.
_LARGEST_META = 1 << 20


class StreamSource(Source, Protocol):
    """A source that can also be read from its beginning to its end, as often as needed."""

    def stream(self) -> Iterator[bytes]:
        """Yield all bytes in pieces."""


@dataclass(frozen=True)
class OutboundInstance:
    """An instance that can be sent, as often as needed.

    Parameters
    ----------
    header
        What the file says of itself.
    size
        Bytes that `stream` yields.
    stream
        A new iterator over the file at each call.
    """

    header: Header
    size: int
    stream: Callable[[], Iterator[bytes]]

    @property
    def arrived(self) -> Arrived:
        """The instance as the registry of exams records it."""
        return arrived(self.header)

    def part(self) -> "StorePart":
        """Return it as part of a STOW-RS request (PS3.18 §10.5)."""
        from dicomweb.client import StorePart

        return StorePart(
            sop_class_uid=self.header.sop_class_uid,
            sop_instance_uid=self.header.sop_instance_uid,
            study_instance_uid=self.header.study_instance_uid,
            series_instance_uid=self.header.series_instance_uid,
            size=self.size,
            open=lambda: _readable(self.stream()),
        )


def open_instance(
    source: StreamSource, *, max_inflated: int = MAX_INFLATED, max_depth: int = MAX_DEPTH
) -> OutboundInstance:
    """Check a file and make it ready to be sent.

    The preamble is zeroed: it can be run or rendered as something else (CVE-2019-11687). A deflated dataset is sent
    inflated, as Explicit VR Little Endian, which is what was deflated (PS3.5 §A.5): many PACS reject deflated ones, and
    none should meet a bomb.

    Parameters
    ----------
    source
        The file.
    max_inflated
        Ceiling in bytes for the inflated dataset.
    max_depth
        Ceiling for sequences within sequences.

    Raises
    ------
    NotDicom
        The file cannot be stored anywhere, or passes a ceiling.
    StorageError
        It is deflated, and others were being inflated for long.
    """
    header = read_header(source, max_inflated=max_inflated, max_depth=max_depth)
    if header.transfer_syntax_uid != DEFLATED:
        return OutboundInstance(header, source.size, lambda: _zero_preamble(source.stream()))
    if header.dataset_offset > _LARGEST_META:
        raise NotDicom("MALFORMED", f"The file meta information is longer than {_LARGEST_META} bytes.")

    def inflated() -> Iterator[bytes]:
        return _inflated_file(source.stream(), header.dataset_offset, max_inflated)

    return OutboundInstance(header, sum(map(len, inflated())), inflated)


def arrived(header: Header) -> Arrived:
    """Return an instance as the registry of exams records it."""
    return Arrived(
        study_instance_uid=header.study_instance_uid,
        series_instance_uid=header.series_instance_uid,
        sop_instance_uid=header.sop_instance_uid,
        sop_class_uid=header.sop_class_uid,
        modality=header.modality,
        patient_id=header.patient_id,
        accession_number=header.accession_number,
    )


def _readable(chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from chunks
    except (ObjectMissing, StorageError) as error:
        # The client takes an OSError for an error on our side, not the PACS's.
        raise OSError("the staged object cannot be read") from error


def _zero_preamble(chunks: Iterator[bytes]) -> Iterator[bytes]:
    left = PREAMBLE_LENGTH
    yield bytes(left)
    for chunk in chunks:
        if left >= len(chunk):
            left -= len(chunk)
            continue
        yield memoryview(chunk)[left:] if left else chunk  # type: ignore[misc]
        left = 0


def _inflated_file(chunks: Iterator[bytes], dataset_offset: int, ceiling: int) -> Iterator[bytes]:
    head = b""
    while len(head) < dataset_offset:
        head += next(chunks)
    yield bytes(PREAMBLE_LENGTH) + b"DICM" + _as_explicit_little(head[:dataset_offset])
    yield from inflate(itertools.chain((head[dataset_offset:],), chunks), ceiling)


def _as_explicit_little(head: bytes) -> bytes:
    """Return the file meta information with Explicit VR Little Endian as transfer syntax (PS3.10 Table 7.1-1)."""
    meta, position = b"", PREAMBLE_LENGTH + 4
    for tag, offset, length in ElementWalk(BytesSource(head), position, explicit=True, big=False).elements():
        if tag in (_GROUP_LENGTH, _TRANSFER_SYNTAX):
            # A value representation of the long form has a header of 12 bytes.
            named = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
            meta += head[position : offset - (8 if head[offset - 8 : offset - 4] == named else 12)]
            position = offset + length
        if tag == _TRANSFER_SYNTAX:
            # A UID of odd length is padded with a zero byte (PS3.5 §9.1).
            value = EXPLICIT_LITTLE.encode() + b"\0"
            meta += named + b"UI" + struct.pack("<H", len(value)) + value
    meta += head[position:]
    return b"\2\0\0\0UL" + struct.pack("<HI", 4, len(meta)) + meta
