"""Reads the few attributes that the service needs from a DICOM file, in memory or by ranged reads (PS3.10 §7).

The walk visits every data element by its header only: values are skipped by their length, so a 2 GB file needs no
more memory than a small one, and a truncated file is detected wherever it was cut. Neither pydicom nor numpy is
imported: they cost more than a whole small upload.
"""

import io
import threading
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from dicom_service.element_walk import MAX_DEPTH, ElementWalk, NotDicom, Source, StorageError
from dicom_service.native_syntaxes import DEFLATED, EXPLICIT_BIG, IMPLICIT_LITTLE
from dicomweb.uid import is_uid

PREAMBLE_LENGTH = 128
MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
MAX_INFLATED = 512 * 1024 * 1024
_PIECE = 1 << 20
# A deflated dataset is whole in memory until it is walked: several at once would exceed a function. It is read from S3
# meanwhile, which may stall: who waits for so many seconds in all gives up, and comes again.
_INFLATING = threading.Lock()
LONGEST_WAIT = 15.0
_WANTED = {
    0x00080005: "SpecificCharacterSet",
    0x00080016: "SOPClassUID",
    0x00080018: "SOPInstanceUID",
    0x00080050: "AccessionNumber",
    0x00080060: "Modality",
    0x00100020: "PatientID",
    0x00100021: "IssuerOfPatientID",
    0x0020000D: "StudyInstanceUID",
    0x0020000E: "SeriesInstanceUID",
}
_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


class BytesSource:
    """A file in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`."""
        return self.data[offset : offset + length]

    def stream(self) -> Iterator[bytes]:
        """Yield all bytes, in one piece."""
        yield self.data


@dataclass(frozen=True)
class Header:
    """The attributes of an instance that the service uses.

    Text values are decoded by the file's SpecificCharacterSet; absent ones are empty. `dataset_offset` is where the
    dataset starts in the file, behind the file meta information.
    """

    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    modality: str = ""
    patient_id: str = field(default="", repr=False)
    accession_number: str = field(default="", repr=False)
    issuer_of_patient_id: str = field(default="", repr=False)
    dataset_offset: int = field(default=0, compare=False)


def read_header(
    source: Source, *, max_inflated: int = MAX_INFLATED, max_depth: int = MAX_DEPTH, longest_wait: float | None = None
) -> Header:
    """Read the header of a Part 10 file and check that the file is whole.

    Parameters
    ----------
    source
        The file.
    max_inflated
        Ceiling in bytes for a deflated file once inflated: a megabyte can become two gigabytes.
    max_depth
        Ceiling for sequences within sequences.
    longest_wait
        Seconds for which a deflated file waits for others: `LONGEST_WAIT` if None, as long as it takes if -1.

    Raises
    ------
    NotDicom
        The file cannot be stored anywhere, or passes a ceiling.
    StorageError
        It is deflated, and others were being inflated for longer than it waits.
    """
    syntax, offset = _file_meta(source)
    if syntax != DEFLATED:
        return _header(syntax, offset, _walked(source, offset, syntax, max_depth))
    if not max_inflated:
        raise NotDicom("DEFLATE_BOMB", "The file is deflated.")
    if not _INFLATING.acquire(timeout=LONGEST_WAIT if longest_wait is None else longest_wait):
        raise StorageError("other files take long to be inflated")
    try:
        values = _walked(BytesSource(_inflated(source, offset, max_inflated)), 0, syntax, max_depth)
    finally:
        _INFLATING.release()
    return _header(syntax, offset, values)


def _walked(source: Source, start: int, syntax: str, max_depth: int) -> dict[str, bytes]:
    explicit, big = syntax != IMPLICIT_LITTLE, syntax == EXPLICIT_BIG
    data = source.data if isinstance(source, BytesSource) else None
    return ElementWalk(source, start, explicit=explicit, big=big, max_depth=max_depth, data=data).collect(_WANTED)


def _header(syntax: str, offset: int, values: dict[str, bytes]) -> Header:
    uids = {name: values.get(name, b"").rstrip(b"\0 ").decode("ascii", "replace") for name in _UIDS}
    missing = [name for name, uid in uids.items() if not uid]
    if missing:
        raise NotDicom("NO_SOP_UIDS", f"The file lacks {', '.join(missing)}.")
    if uids["SOPClassUID"] == MEDIA_STORAGE_DIRECTORY:
        raise NotDicom("DICOMDIR", "A DICOMDIR is a table of contents, not an instance.")
    bad = [name for name, uid in uids.items() if not is_uid(uid)]
    if bad:
        raise NotDicom("INVALID_UID", f"The file has no valid {', '.join(bad)}.")
    charset = values.get("SpecificCharacterSet", b"")
    return Header(
        transfer_syntax_uid=syntax,
        sop_class_uid=uids["SOPClassUID"],
        sop_instance_uid=uids["SOPInstanceUID"],
        study_instance_uid=uids["StudyInstanceUID"],
        series_instance_uid=uids["SeriesInstanceUID"],
        modality=_text(values.get("Modality", b""), b""),
        patient_id=_text(values.get("PatientID", b""), charset),
        accession_number=_text(values.get("AccessionNumber", b""), charset),
        issuer_of_patient_id=_text(values.get("IssuerOfPatientID", b""), charset),
        dataset_offset=offset,
    )


def _text(value: bytes, charset: bytes) -> str:
    try:
        return value.decode("ascii").strip(" \0")
    except UnicodeDecodeError:
        from pydicom.charset import convert_encodings, decode_bytes

        names = [name.strip() for name in charset.decode("ascii", "replace").split("\\")]
        return decode_bytes(value, convert_encodings(names), set()).strip(" \0")


def _file_meta(source: Source) -> tuple[str, int]:
    """Return the transfer syntax and the offset of the dataset (PS3.10 §7.1)."""
    if source.size == 0:
        raise NotDicom("EMPTY", "The file is empty.")
    if source.read(PREAMBLE_LENGTH, 4) != b"DICM":
        raise NotDicom("NO_DICM", "The file does not have the DICM prefix of a DICOM file.")
    walk = ElementWalk(source, PREAMBLE_LENGTH + 4, explicit=True, big=False)
    syntax = ""
    for tag, offset, length in walk.elements(until_group=2):
        if tag == 0x00020002 and _uid(source, offset, length) == MEDIA_STORAGE_DIRECTORY:
            raise NotDicom("DICOMDIR", "A DICOMDIR is a table of contents, not an instance.")
        if tag == 0x00020010:
            if syntax:
                raise NotDicom("MALFORMED", "The file names its transfer syntax twice.")
            syntax = _uid(source, offset, length)
    if not is_uid(syntax):
        raise NotDicom("NO_TRANSFER_SYNTAX", "The file does not say its transfer syntax.")
    return syntax, walk.position


def _uid(source: Source, offset: int, length: int) -> str:
    return source.read(offset, min(length, 66)).rstrip(b"\0 ").decode("ascii", "replace")


def inflate(chunks: Iterable[bytes], ceiling: int) -> Iterator[bytes]:
    """Yield a deflated dataset (PS3.5 §A.5) inflated, in pieces of up to 1 MiB.

    Parameters
    ----------
    chunks
        The dataset.
    ceiling
        Most bytes to inflate to.

    Raises
    ------
    NotDicom
        It is damaged or cut off, or passes the ceiling.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    made = 0
    for chunk in chunks:
        more = True
        while more and not inflater.eof:
            try:
                piece = inflater.decompress(chunk, _PIECE)
            except zlib.error as error:
                raise NotDicom("TRUNCATED", "The deflated dataset is damaged.") from error
            made += len(piece)
            if made > ceiling:
                raise NotDicom("DEFLATE_BOMB", f"The file inflates to more than {ceiling} bytes.")
            if piece:
                yield piece
            chunk = inflater.unconsumed_tail
            # A piece that is full may have a rest although all that came is used up: few bits can stand for kilobytes.
            more = bool(chunk) or len(piece) == _PIECE
        if inflater.eof:
            break
    if not inflater.eof:
        raise NotDicom("TRUNCATED", "The deflated dataset ends too early.")


def _inflated(source: Source, start: int, ceiling: int) -> bytes:
    deflated = (source.read(position, _PIECE) for position in range(start, source.size, _PIECE))
    # Gives its bytes away without a copy, and lets go of them at an error, which somebody may keep.
    with io.BytesIO() as out:
        for piece in inflate(deflated, ceiling):
            out.write(piece)
        return out.getvalue()
