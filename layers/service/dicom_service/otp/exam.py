"""Looks up in the PACS the exam that a code is issued for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dicom_service.errors import Conflict, NotFound
from dicom_service.pacs import rows_of_study
from dicom_service.pacs_errors import pacs_errors
from dicom_service.patient import PATIENT_FIELDS, Patient
from dicomweb.dataset import text

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

PATIENT_BIRTH_DATE = "00100030"
_NO_EXAM = "The PACS has no exam with this studyUID."


@dataclass(frozen=True)
class Exam:
    """An exam in the PACS; the birth date is a DA (``YYYYMMDD``), or None if the PACS has none."""

    study_uid: str
    patient: Patient
    birth_date: str | None


def find_exam(pacs: "DicomwebClient", study_uid: str, patient_id: str | None) -> Exam:
    """Find an exam and check its patient.

    Parameters
    ----------
    patient_id
        The PatientID the exam must have; None accepts any single patient.

    Raises
    ------
    NotFound
        The PACS has no such exam.
    Conflict
        The exam is another patient's, or has images of several patients, who must not see each other's.
    PacsError
        The PACS does not answer.
    """
    studies = _rows(pacs, study_uid)
    if not studies:
        raise NotFound(_NO_EXAM, code="NO_SUCH_EXAM")
    patient = only_patient([Patient.from_dataset(study) for study in studies])
    if patient is None:
        raise Conflict("The exam has images of several patients; it cannot be shared.", code="SEVERAL_PATIENTS")
    if patient_id is not None and patient.patient_id != patient_id.strip():
        raise Conflict("The exam is not this patient's.", code="PATIENT_MISMATCH")
    dates = {text(study, PATIENT_BIRTH_DATE).strip() for study in studies} - {""}
    return Exam(study_uid, patient, dates.pop() if len(dates) == 1 else None)


def patients_of(pacs: "DicomwebClient", study_uid: str) -> list[Patient]:
    """Return the patients whose images the PACS has under a StudyInstanceUID, found by one search."""
    return [Patient.from_dataset(study) for study in _rows(pacs, study_uid)]


def only_patient(patients: Sequence[Patient]) -> Patient | None:
    """Return the patient if all of these are the same one, with the issuer if any of them names it; else None."""
    if not patients or not all(one.is_same(other) for one in patients for other in patients):
        return None
    return max(patients, key=lambda patient: patient.issuer)


def _rows(pacs: "DicomwebClient", study_uid: str) -> list[dict[str, Any]]:
    with pacs_errors(_NO_EXAM):
        return rows_of_study(pacs, study_uid, includefields=(*PATIENT_FIELDS, "PatientBirthDate"))
