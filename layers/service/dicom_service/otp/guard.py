"""Suspends codes whose exam is not, or not only, their patient's in the PACS: an exam is a study of one patient.

Redemptions, requests with an access token and announcements compare the patients here. A second patient under the
StudyInstanceUID, or one other than the code was issued for, suspends the codes of the exam, and only a person resumes
them (docs/decisions/0022-an-exam-is-a-study-of-one-patient.md).
"""

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from dicom_service.errors import Conflict, Forbidden, NotFound
from dicom_service.otp.audit_log import Actor, write_audit_line
from dicom_service.otp.events import event
from dicom_service.otp.exam import find_exam, only_patient, patients_of
from dicom_service.otp.model import Otp
from dicom_service.otp.store import OtpStore
from dicom_service.otp.subjects import study_subject
from dicom_service.patient import Patient, PatientHasher

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

_SERVICE = Actor("dicom-service")


class ExamSuspended(Forbidden):
    """The exam is not, or not only, that of the patient the code was issued for."""

    default_code = "EXAM_SUSPENDED"

    def __init__(self) -> None:
        super().__init__("Access to this exam is suspended until its issuer has reviewed it.")


class ExamGuard:
    """Compares the patients of codes with those in the PACS.

    Parameters
    ----------
    clock
        Seconds since the epoch.
    """

    def __init__(self, store: OtpStore, hasher: PatientHasher, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._hasher = hasher
        self._clock = clock

    def ask(self, pacs: "DicomwebClient", otp_id: str, study_uid: str, hashed: str | None) -> str:
        """Compare the patient of a code with the exam's in the PACS, by one search.

        Parameters
        ----------
        hashed
            Hash of the patient that the code was issued for; None for a code of an earlier version, which takes the
            patient in the PACS.

        Returns
        -------
        str
            The hash of the patient.

        Raises
        ------
        NotFound
            The PACS has no such exam.
        ExamSuspended
            It is another patient's, or has a second patient. The codes affected are suspended now.
        PacsError
            The PACS does not answer.
        Unavailable
            The tables do not answer.
        """
        patients = patients_of(pacs, study_uid)
        if not patients:
            raise NotFound("The PACS has no exam with this studyUID.", code="NO_SUCH_EXAM")
        return self.compare(patients, otp_id, study_uid, hashed)

    def compare(self, patients: Sequence[Patient], otp_id: str, study_uid: str, hashed: str | None) -> str:
        """Compare one or more patients found in an exam with the patient of a code.

        Raises
        ------
        ExamSuspended, Unavailable
            As `ask`.
        """
        one = only_patient(patients)
        if one is not None and (hashed is None or self._hasher.matches(hashed, one)):
            return hashed or self._hasher.hash(one)
        own = self._store.get(otp_id)
        self._suspend_others(chain([own] if own else [], self._store.codes_of(study_subject(study_uid))), one)
        raise ExamSuspended

    def check_exam(self, study_uid: str, patients: Sequence[Patient]) -> None:
        """Suspend the codes of an exam whose patient it is not, or not only, by the patients found in the PACS."""
        if patients:
            self._suspend_others(self._store.codes_of(study_subject(study_uid)), only_patient(patients))

    def resume(self, pacs: "DicomwebClient", otp: Otp, actor: Actor) -> None:
        """Resume a suspended code, after the PACS has been corrected.

        Raises
        ------
        NotFound, Conflict
            The PACS has no such exam, several patients in it, or another patient.
        Conflict
            The code is not suspended.
        PacsError, Unavailable
            The PACS or the tables do not answer.
        """
        exam = find_exam(pacs, otp.study_uid, None)
        if otp.patient is not None and not self._hasher.matches(otp.patient, exam.patient):
            raise Conflict("The exam is not this patient's.", code="PATIENT_MISMATCH")
        patient = otp.patient or self._hasher.hash(exam.patient)
        if self._store.resume(otp.otp_id, patient, event("OTP Resumed", otp)) is not None:
            raise Conflict("The one-time password is not suspended.", code="NOT_SUSPENDED")
        write_audit_line("resumed", actor, otp_id=otp.otp_id, study_uid=otp.study_uid)

    def _suspend_others(self, otps: Iterable[Otp], one: Patient | None) -> None:
        now = self._clock()
        for otp in otps:
            matches = one is not None and (otp.patient is None or self._hasher.matches(otp.patient, one))
            if matches or otp.state == "SUSPENDED" or not otp.opens_at(now):
                continue
            if self._store.suspend(otp.otp_id, event("OTP Suspended", otp)) is None:
                reason = "another patient" if one else "several patients"
                write_audit_line("suspended", _SERVICE, otp_id=otp.otp_id, study_uid=otp.study_uid, reason=reason)
