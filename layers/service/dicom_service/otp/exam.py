"""What the PACS says of the exam that a code shall open."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dicom_service.errors import Conflict, NotFound
from dicom_service.pacs import pacs_errors

STUDY_INSTANCE_UID = "0020000D"
PATIENT_ID = "00100020"
PATIENT_BIRTH_DATE = "00100030"
_NO_EXAM = "The PACS has no exam with this studyUID."


class Search(Protocol):
    """The one thing asked of a PACS here; `dicomweb.client.DicomwebClient` does it."""

    def search_for_studies(self, filters: Mapping[str, str], *, includefields: tuple[str, ...]) -> Any:
        """Search for studies (PS3.18 §10.6)."""


@dataclass(frozen=True)
class Exam:
    """An exam as the PACS has it; the birth date is a DA (``YYYYMMDD``), None when the PACS has none."""

    study_uid: str
    birth_date: str | None


def find_exam(pacs: Search, study_uid: str, patient_id: str | None) -> Exam:
    """Find an exam and check whose it is.

    Parameters
    ----------
    patient_id
        PatientID it must have; None takes the exam of whichever single patient it has.

    Raises
    ------
    NotFound
        The PACS has no such exam.
    Conflict
        It is another patient's, or has images of several patients, whom one code must not show to each other.
    PacsTrouble
        The PACS did not answer.
    """
    with pacs_errors(_NO_EXAM):
        result = pacs.search_for_studies(
            {"StudyInstanceUID": study_uid}, includefields=("PatientID", "PatientBirthDate")
        )
    # Some PACS ignore a filter they do not understand and answer with everything they have.
    studies = [study for study in result.datasets if _text(study, STUDY_INSTANCE_UID) == study_uid]
    if not studies:
        raise NotFound(_NO_EXAM, code="NO_SUCH_EXAM")
    patients = {_text(study, PATIENT_ID) for study in studies}
    if len(patients) > 1:
        raise Conflict("The exam has images of several patients; it cannot be shared.", code="SEVERAL_PATIENTS")
    if patient_id is not None and patients != {patient_id.strip()}:
        raise Conflict("The exam is not this patient's.", code="PATIENT_MISMATCH")
    dates = {_text(study, PATIENT_BIRTH_DATE) for study in studies} - {""}
    return Exam(study_uid, dates.pop() if len(dates) == 1 else None)


def _text(dataset: Mapping[str, Any], tag: str) -> str:
    values = dataset.get(tag, {}).get("Value") or [""]
    return str(values[0] or "").strip()
