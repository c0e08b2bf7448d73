"""Whom or what an erasure is about, as it is recognized in each store."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dicom_service.patient import Patient, PatientHasher, index_value


@dataclass(frozen=True)
class Request:
    """What an operator asks to be erased: one study, or all of a patient.

    Parameters
    ----------
    study, patient
        One of the two.
    texts
        Words by which more is recognized, such as a name in the name of a file that is no DICOM.
    """

    study: str | None = None
    patient: Patient | None = None
    texts: tuple[str, ...] = ()


class Subject:
    """What is to be erased, with all that was found to belong to it so far.

    Attributes
    ----------
    studies
        StudyInstanceUIDs.
    files
        Staged files by where they are filed (`dicom_service.uploads.staged_object.StagedObject.filed`).
    """

    def __init__(self, request: Request, hasher: PatientHasher) -> None:
        self.request = request
        self.studies: set[str] = {request.study} if request.study else set()
        self.files: set[str] = set()
        self._hasher = hasher

    def has(self, study: object) -> bool:
        """Return whether a StudyInstanceUID is one of those to be erased."""
        return isinstance(study, str) and study in self.studies

    def is_patient(self, patient_id: object, issuer: object = "") -> bool:
        """Return whether plain values are those of the patient; False where a study is erased."""
        if self.request.patient is None or not isinstance(patient_id, str) or not patient_id.strip():
            return False
        return self.request.patient.is_same(Patient.of(patient_id, issuer if isinstance(issuer, str) else ""))

    def is_hashed(self, hashes: str) -> bool:
        """Return whether one of some hashes, divided by spaces, is the patient's."""
        patient = self.request.patient
        return patient is not None and any(self._hasher.matches(one, patient) for one in hashes.split())

    def named(self, text: str) -> bool:
        """Return whether one of the words of the request is in a text."""
        return any(word in text for word in self.request.texts)

    def owns(self, fields: Mapping[str, Any]) -> bool:
        """Return whether fields by DICOM keyword are of one of the studies or of the patient."""
        if self.has(fields.get("StudyInstanceUID")) or self.has(fields.get("studyUID")):
            return True
        return self.is_patient(fields.get("PatientID"), fields.get("IssuerOfPatientID"))

    def add(self, study: object) -> None:
        """Add a study that was found to be the patient's."""
        if isinstance(study, str) and study:
            self.studies.add(study)

    def hashes(self) -> list[str]:
        """Return the patient's hashes, of the current key first; none where a study is erased."""
        if self.request.patient is None:
            return []
        newest = self._hasher.hash(self.request.patient)
        return [newest, *sorted(set(self._hasher.all_hashes(self.request.patient)) - {newest})]

    def tokens(self) -> list[str]:
        """Return what stands for the subject where it must not be named, the current key's first."""
        if self.request.patient is None:
            return [f"study.{hashlib.sha256((self.request.study or '').encode()).hexdigest()[:32]}"]
        return [f"patient.{index_value(one)}" for one in self.hashes()]
