"""Brings the files of one request to the PACS: all are checked first, then all are sent, and each result is told."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from dicom_service.element_walk import MAX_DEPTH, NotDicom
from dicom_service.errors import Conflict, UnprocessableContent
from dicom_service.exams.registry import Arrived, Source
from dicom_service.exams.request_files import UploadedFile
from dicom_service.pacs import pacs_errors
from dicom_service.part10 import PREAMBLE_LENGTH, BytesSource, Header, read_header
from dicom_service.settings import setting

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient
    from dicomweb.stow import StorePart

_ZEROED = bytes(PREAMBLE_LENGTH)


class Registry(Protocol):
    """Remembers what arrived."""

    def record(self, arrived: Sequence[Arrived], *, source: Source, session: str | None) -> int:
        """Remember instances; give how many are new."""


@dataclass(frozen=True)
class StoreSettings:
    """What a file may look like that is stored."""

    max_depth: int = setting("MAX_SEQUENCE_DEPTH", cast=int, default=MAX_DEPTH)


@dataclass(frozen=True)
class Stored:
    """What became of a request's files.

    Parameters
    ----------
    dataset
        The STOW-RS response dataset, DICOM JSON Model (PS3.18 §10.5.3).
    complete
        Whether the PACS took all of them.
    """

    dataset: dict[str, Any]
    complete: bool


def store_files(
    files: Sequence[UploadedFile], client: "DicomwebClient", registry: Registry, *, max_depth: int = MAX_DEPTH
) -> Stored:
    """Store DICOM files in the PACS and remember what arrived.

    Parameters
    ----------
    files
        The files; the same instance given twice is stored once.
    max_depth
        How many sequences may be nested.

    Raises
    ------
    UnprocessableContent
        A file is not DICOM; each bad one is named and nothing is stored.
    Conflict
        The PACS stored none; the dataset tells each reason.
    PacsTrouble
        The PACS cannot be asked; the request may be sent again whole.
    """
    headers = _read_headers(files, max_depth)
    parts = {header.sop_instance_uid: _part(header, file) for header, file in zip(headers, files, strict=True)}
    with pacs_errors():
        result = client.store_instances(list(parts.values()))
    stored = {instance.sop_instance_uid for instance in result.instances if instance.stored}
    arrived = {h.sop_instance_uid: _arrived(h) for h in headers if h.sop_instance_uid in stored}
    if not arrived:
        raise Conflict("The PACS stored none of the files.", code="PACS_STORED_NONE", result=[result.to_dataset()])
    registry.record(list(arrived.values()), source="upload", session=None)
    return Stored(result.to_dataset(), complete=len(stored) == len(parts))


def _read_headers(files: Sequence[UploadedFile], max_depth: int) -> list[Header]:
    headers, bad = [], []
    seen: dict[str, bytes] = {}
    for file in files:
        try:
            header = read_header(BytesSource(file.content), max_depth=max_depth)
            if seen.setdefault(header.sop_instance_uid, file.content) != file.content:
                raise NotDicom("CONFLICTING_COPY", "Another file of this request has the same SOPInstanceUID.")
            headers.append(header)
        except NotDicom as error:
            bad.append({"file": file.name, "reason": error.reason, "problem": error.detail})
    if bad:
        names = ", ".join(entry["file"] for entry in bad[:10])
        raise UnprocessableContent(
            f"{len(bad)} of {len(files)} files cannot be stored, so none was: {names}.", code="NOT_DICOM", errors=bad
        )
    return headers


def _part(header: Header, file: UploadedFile) -> "StorePart":
    from dicomweb.stow import StorePart

    def content() -> Iterator[bytes]:
        # The preamble may hold an executable (CVE-2019-11687); nobody needs it, so it does not reach the PACS.
        yield _ZEROED
        yield memoryview(file.content)[PREAMBLE_LENGTH:]  # type: ignore[misc]

    return StorePart(
        sop_class_uid=header.sop_class_uid,
        sop_instance_uid=header.sop_instance_uid,
        study_instance_uid=header.study_instance_uid,
        series_instance_uid=header.series_instance_uid,
        size=len(file.content),
        open=content,
    )


def _arrived(header: Header) -> Arrived:
    return Arrived(
        study_instance_uid=header.study_instance_uid,
        series_instance_uid=header.series_instance_uid,
        sop_instance_uid=header.sop_instance_uid,
        sop_class_uid=header.sop_class_uid,
        modality=header.modality,
        patient_id=header.patient_id,
        accession_number=header.accession_number,
    )
