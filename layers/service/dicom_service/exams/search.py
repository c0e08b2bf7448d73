"""Searches the PACS for exams, series and instances (QIDO-RS, PS3.18 §10.6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dicom_service.audit.notes import note_rows
from dicom_service.errors import NotFound
from dicom_service.exams.missing_counts import complete_series, complete_studies
from dicom_service.exams.patient_scope import COMPARED_FIELDS, PatientScope
from dicom_service.pacs import NO_EXAM, rows_of_study
from dicom_service.pacs_errors import pacs_errors
from dicom_service.patient import PATIENT_FIELDS, Patient
from dicomweb.dataset import SearchResult

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

_NO_STUDY_OF_PATIENT = "The PACS has no exam of this patient alone with this StudyInstanceUID."
_NO_SERIES = "The PACS has no such series in this exam."
# Attributes that users expect beyond those that PS3.18 Table 10.6.3-3 has every PACS return.
STUDY_FIELDS = ("StudyDescription", "ModalitiesInStudy", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances")


@dataclass(frozen=True)
class Page:
    """The rows of a list to return: how many, and how many to skip."""

    limit: int
    offset: int


def search_studies(client: "DicomwebClient", filters: Mapping[str, str], page: Page) -> "SearchResult":
    """Search for exams; the result may be empty."""
    with pacs_errors():
        found = client.search_for_studies(
            filters,
            limit=page.limit,
            offset=page.offset,
            fuzzy="PatientName" in filters,
            includefields=STUDY_FIELDS,
        )
    note_rows(found.datasets)
    complete_studies(client, found.datasets)
    return found


def find_study(client: "DicomwebClient", study_uid: str, scope: PatientScope) -> dict[str, Any]:
    """Return one exam.

    Raises
    ------
    NotFound
        The PACS does not have it.
    PacsError
        The PACS cannot be asked.
    """
    with pacs_errors(NO_EXAM):
        rows = rows_of_study(client, study_uid, includefields=STUDY_FIELDS, limit=2)
    if not rows:
        raise NotFound(NO_EXAM)
    scope.check_rows(rows)
    complete_studies(client, rows[:1])
    return dict(rows[0])


def check_patient(client: "DicomwebClient", study_uid: str, patient_id: str | None) -> None:
    """Reject the exam of another patient when the caller names the patient; without a name, do nothing.

    Raises
    ------
    NotFound
        The PACS does not have the exam, or has another patient's images in it.
    PacsError
        The PACS cannot be asked.
    """
    if patient_id is None:
        return
    with pacs_errors(NO_EXAM):
        patients = [Patient.from_dataset(row) for row in rows_of_study(client, study_uid, includefields=PATIENT_FIELDS)]
    if not patients or any(patient.patient_id != patient_id for patient in patients):
        raise NotFound(_NO_STUDY_OF_PATIENT)


def search_series(client: "DicomwebClient", study_uid: str, page: Page, scope: PatientScope) -> "SearchResult":
    """List the series of an exam.

    Raises
    ------
    NotFound
        The PACS does not have the exam.
    PacsError
        The PACS cannot be asked.
    """
    with pacs_errors(NO_EXAM):
        found = client.search_for_series(study_uid, limit=page.limit, offset=page.offset, includefields=COMPARED_FIELDS)
    # An exam has at least one series: an empty first page means that there is no such exam.
    if not found.datasets and page.offset == 0:
        raise NotFound(NO_EXAM)
    scope.check_rows(found.datasets)
    complete_series(client, study_uid, found.datasets)
    return found


def search_instances(
    client: "DicomwebClient", study_uid: str, series_uid: str, page: Page, scope: PatientScope
) -> "SearchResult":
    """List the instances of a series.

    Raises
    ------
    NotFound
        The PACS does not have the series.
    PacsError
        The PACS cannot be asked.
    """
    with pacs_errors(_NO_SERIES):
        found = client.search_for_instances(
            study_uid, series_uid, limit=page.limit, offset=page.offset, includefields=COMPARED_FIELDS
        )
    if not found.datasets and page.offset == 0:
        raise NotFound(_NO_SERIES)
    scope.check_rows(found.datasets)
    return found
