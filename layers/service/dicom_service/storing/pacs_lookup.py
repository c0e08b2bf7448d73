"""Looks up in the PACS what it has under the UIDs of a file: instances, patients of a study, the same content."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dicom_service.element_walk import NotDicom
from dicom_service.native_syntaxes import DEFLATED, EXPLICIT_LITTLE
from dicom_service.part10 import BytesSource, Header, read_header
from dicom_service.patient import PATIENT_FIELDS, Patient
from dicom_service.unreadable import unreadable
from dicomweb.dataset import text
from dicomweb.errors import NotFound, NotSupported, PacsFault, RequestRejected

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

_UIDS_IN_A_QUERY = 20
# Up to this size, content that differs in its bytes is compared element by element: the PACS may have reencoded it.
_LARGEST_COMPARED = 64 * 1024 * 1024
_PLACE = ("StudyInstanceUID", "SeriesInstanceUID")
_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"


@dataclass(frozen=True)
class Place:
    """The study and series in which the PACS has an instance."""

    study_instance_uid: str
    series_instance_uid: str


def find_instances(pacs: "DicomwebClient", wanted: Mapping[str, str]) -> dict[str, list[Place]]:
    """Return where the PACS has instances, in any study; one request for up to 20.

    Parameters
    ----------
    wanted
        The study in which each SOPInstanceUID is expected; a PACS that cannot search all studies is searched there.
    """
    found: dict[str, list[Place]] = {}
    uids = list(wanted)
    for start in range(0, len(uids), _UIDS_IN_A_QUERY):
        some = uids[start : start + _UIDS_IN_A_QUERY]
        for row in _rows(pacs, some, wanted):
            uid = text(row, _INSTANCE)
            if uid in wanted:
                study = text(row, _STUDY) or wanted[uid]
                found.setdefault(uid, []).append(Place(study, text(row, _SERIES)))
    return found


def _rows(pacs: "DicomwebClient", uids: Sequence[str], wanted: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    listed = {"SOPInstanceUID": ",".join(uids)}
    try:
        yield from pacs.search_for_instances(None, None, listed, includefields=_PLACE).datasets
    except (NotSupported, RequestRejected, NotFound, PacsFault):
        # A search across studies is optional (PS3.18 Table 10.6.1-2): the file's study is searched then.
        for study in {wanted[uid] for uid in uids}:
            here = ",".join(uid for uid in uids if wanted[uid] == study)
            yield from pacs.search_for_instances(study, None, {"SOPInstanceUID": here}).datasets


def find_patients(pacs: "DicomwebClient", study_instance_uid: str) -> list[Patient]:
    """Return the patients of a study in the PACS; none if it does not have the study."""
    rows = pacs.search_for_studies({"StudyInstanceUID": study_instance_uid}, includefields=PATIENT_FIELDS).datasets
    return [Patient.from_dataset(row) for row in rows]


def digest_of(header: Header, chunks: Iterable[bytes]) -> str:
    """Return the digest of an instance's content: transfer syntax and dataset.

    Preamble and file meta information are left out: they describe the writer, not the content.

    Parameters
    ----------
    header
        The file's header.
    chunks
        The file as it is sent; a deflated one inflated, its first chunk ending with the file meta information.
    """
    deflated = header.transfer_syntax_uid == DEFLATED
    digest = hashlib.sha256((EXPLICIT_LITTLE if deflated else header.transfer_syntax_uid).encode() + b"\n")
    left = header.dataset_offset
    for number, chunk in enumerate(chunks):
        if deflated:
            if number:
                digest.update(chunk)
        elif left >= len(chunk):
            left -= len(chunk)
        else:
            digest.update(memoryview(chunk)[left:])
            left = 0
    return digest.hexdigest()


def has_same_content(
    pacs: "DicomwebClient", place: Place, header: Header, digest: str, size: int, content: Callable[[], Iterable[bytes]]
) -> bool:
    """Retrieve an instance and return whether its content is that of the file.

    The bytes of the dataset decide. If they differ, its elements do, since a PACS may write datasets received over
    DIMSE with other lengths. An instance that is much larger or cannot be retrieved is not the same.
    """
    stored = bytearray()
    try:
        with pacs.retrieve_instance(
            place.study_instance_uid, place.series_instance_uid, header.sop_instance_uid
        ) as stream:
            for chunk in stream.iter_bytes():
                stored += chunk
                if len(stored) > size + size // 2 + (1 << 20):
                    return False
    except (NotFound, NotSupported, RequestRejected):
        return False
    try:
        # No file is sent deflated: one that is stored so is another, and is not inflated to find that out.
        theirs = read_header(BytesSource(bytes(stored)), max_depth=1000, max_inflated=0)
    except NotDicom:
        return False
    if digest_of(theirs, (bytes(stored),)) == digest:
        return True
    return size <= _LARGEST_COMPARED and _same_elements(b"".join(content()), bytes(stored))


def _same_elements(mine: bytes, theirs: bytes) -> bool:
    from io import BytesIO

    from pydicom import Dataset, dcmread

    def plain(content: bytes) -> tuple[str, Dataset]:
        read = dcmread(BytesIO(content))
        meaningless = [tag for tag in list(read.keys()) if tag.element == 0 or int(tag) == 0xFFFCFFFC]
        for tag in meaningless:
            del read[tag]
        dataset = Dataset(read)
        return str(read.file_meta.TransferSyntaxUID), dataset

    try:
        (my_syntax, my_elements), (their_syntax, their_elements) = plain(mine), plain(theirs)
        return my_syntax == their_syntax and bool(my_elements == their_elements)
    except unreadable():
        return False
