"""Which studies the PACS has, whose they are and in which revision: decides who sees what, and which copy holds."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dicom_service.errors import NotFound
from dicom_service.exams.missing_counts import complete_studies
from dicom_service.exams.patient_scope import PatientScope, patient_label
from dicom_service.exams.search import STUDY_FIELDS
from dicom_service.pacs import rows_of_study
from dicom_service.pacs_errors import pacs_errors
from dicom_service.patient import PATIENT_FIELDS, Patient, PatientHasher

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

NO_STUDY = "There is no such study."
# Frames come by the hundred within seconds; the PACS is asked about their study only now and then.
REMEMBERED_FOR = 30.0
_MOST_STUDIES = 64
# The PACS's links, and whether it has the study on disk or on tape, say nothing of its content.
_NOT_CONTENT = frozenset({"00081190", "00080056"})


@dataclass(frozen=True)
class StudyState:
    """A study as the PACS had it a moment ago.

    Parameters
    ----------
    rows
        What a search for it found: more than one row where the PACS has several patients under its UID.
    revision
        Changes with the patients, the numbers of series and instances, and all else that a search shows of the study.
    label
        Hashes of its patient, kept with what is cached; empty where it has several.
    """

    study_uid: str
    rows: tuple[Mapping[str, Any], ...]
    revision: str
    label: str

    @property
    def folder(self) -> str:
        """Prefix in the cache bucket of what was made of this revision."""
        return f"dicomweb/{self.study_uid}/{self.revision}/"


class StudyStates:
    """Asks the PACS for studies and remembers what it said for `REMEMBERED_FOR` seconds, in the function's memory.

    Parameters
    ----------
    client
        The PACS.
    hasher
        Returns the hasher of patients, whose key makes revisions: the names of patients must not be found by trying.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        client: "DicomwebClient",
        hasher: Callable[[], PatientHasher],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._hasher = hasher
        self._clock = clock
        self._known: dict[str, tuple[float, StudyState]] = {}

    def find(self, study_uid: str, scope: PatientScope, *, max_age: float = REMEMBERED_FOR) -> StudyState:
        """Return the state of a study that this caller may see.

        Parameters
        ----------
        max_age
            How old the answer of the PACS may be, seconds; 0 asks it in any case.

        Raises
        ------
        NotFound
            The PACS does not have it.
        ExamSuspended
            It is not, or not only, the patient's whom the caller's token was issued for.
        PacsError
            The PACS cannot be asked.
        """
        scope.revalidate(self._client)
        read_at, state = self._known.get(study_uid, (0.0, None))
        if state is None or self._clock() - read_at >= max_age:
            state = self._ask(study_uid)
        # Also what is remembered: another caller may have asked.
        scope.check_all(state.rows)
        return state

    def _ask(self, study_uid: str) -> StudyState:
        self._known.pop(study_uid, None)
        asked_at = self._clock()
        fields = (*PATIENT_FIELDS, *STUDY_FIELDS)
        with pacs_errors(NO_STUDY):
            rows = rows_of_study(self._client, study_uid, includefields=fields)
        if not rows:
            raise NotFound(NO_STUDY)
        complete_studies(self._client, rows)
        patients = {Patient.from_dataset(row) for row in rows}
        label = patient_label(patients.pop(), self._hasher()) if len(patients) == 1 else ""
        state = StudyState(study_uid, tuple(rows), self._revision(rows), label)
        while len(self._known) >= _MOST_STUDIES:
            self._known.pop(next(iter(self._known)))
        self._known[study_uid] = (asked_at, state)
        return state

    def _revision(self, rows: list[dict[str, Any]]) -> str:
        content = [{tag: row[tag] for tag in sorted(row.keys() - _NOT_CONTENT)} for row in rows]
        return self._hasher().digest(json.dumps(sorted(content, key=json.dumps), sort_keys=True))
