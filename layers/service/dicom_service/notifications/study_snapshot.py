"""What the PACS holds of an exam when it is announced: ids, modalities, counts, and a digest of them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dicom_service.pacs import all_rows
from dicom_service.pacs_errors import pacs_errors
from dicom_service.patient import PATIENT_FIELDS, Patient
from dicomweb.dataset import SearchResult, text

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

_PAGE = 1000
_STUDY_UID, _ACCESSION_NUMBER = "0020000D", "00080050"
_SERIES_UID, _MODALITY, _SERIES_INSTANCES = "0020000E", "00080060", "00201209"


@dataclass(frozen=True)
class StudySnapshot:
    """An exam as the PACS holds it at one moment.

    Parameters
    ----------
    patients
        More than one where the PACS has several under the StudyInstanceUID.
    accession_number
        Empty where the PACS has none.
    modalities
        Sorted, without repetitions.
    series, instances
        How many there are.
    digest
        Over the series and their numbers of instances.
    """

    patients: tuple[Patient, ...]
    accession_number: str
    modalities: tuple[str, ...]
    series: int
    instances: int
    digest: str

    @property
    def patient_id(self) -> str:
        """PatientID of the first patient; empty where the PACS has none."""
        return self.patients[0].patient_id


def read_snapshot(pacs: "DicomwebClient", study_uid: str) -> StudySnapshot | None:
    """Read an exam from the PACS; None when it knows no such study, or no instance of it."""
    with pacs_errors():
        found = pacs.search_for_studies(
            {"StudyInstanceUID": study_uid}, limit=_PAGE, offset=0, includefields=PATIENT_FIELDS
        ).datasets
        # Some PACS ignore a filter they do not understand and answer with everything they have.
        found = [row for row in found if text(row, _STUDY_UID) in ("", study_uid)]
        if not found:
            return None
        counts: dict[str, int] = {}
        modalities: set[str] = set()
        for row in all_rows(lambda offset: _series(pacs, study_uid, offset)):
            series_uid = text(row, _SERIES_UID)
            counts[series_uid] = counts.get(series_uid, 0) + _count(pacs, study_uid, series_uid, row)
            modalities |= {modality} if (modality := text(row, _MODALITY)) else set()
    if not sum(counts.values()):
        return None
    return StudySnapshot(
        patients=tuple(Patient.from_dataset(row) for row in found),
        accession_number=text(found[0], _ACCESSION_NUMBER),
        modalities=tuple(sorted(modalities)),
        series=len(counts),
        instances=sum(counts.values()),
        digest=hashlib.sha256("\n".join(f"{uid}:{counts[uid]}" for uid in sorted(counts)).encode()).hexdigest(),
    )


def _series(pacs: "DicomwebClient", study_uid: str, offset: int) -> "SearchResult":
    fields = ("NumberOfSeriesRelatedInstances",)
    return pacs.search_for_series(study_uid, limit=_PAGE, offset=offset, includefields=fields)


def _count(pacs: "DicomwebClient", study_uid: str, series_uid: str, row: Mapping[str, Any]) -> int:
    count = text(row, _SERIES_INSTANCES)
    if count.isdecimal():
        return int(count)
    # The attribute is one that a PACS need not return (PS3.18 Table 10.6.3-4).
    return sum(1 for _ in all_rows(lambda offset: _instances(pacs, study_uid, series_uid, offset)))


def _instances(pacs: "DicomwebClient", study_uid: str, series_uid: str, offset: int) -> "SearchResult":
    return pacs.search_for_instances(study_uid, series_uid, limit=_PAGE, offset=offset)
