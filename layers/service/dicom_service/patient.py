"""The identity of a patient as the PACS records it, compared and hashed.

A PatientID (0010,0020) is unique within its issuer, the Issuer of Patient ID (0010,0021), and many files name none
(PS3.3 C.2.2). Two identities are the same patient when the ids are equal and no two issuers contradict each other:
a search that does not return the issuer must not separate patients from their own exams.

Tables and caches keep keyed hashes (`PatientHasher`): there are so few patient ids that a plain hash could be reversed
by trying them all. The keys have a secret of their own, so that a function that compares patients
cannot derive a code (docs/decisions/0022-an-exam-is-a-study-of-one-patient.md).
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

PATIENT_ID = "00100020"
ISSUER_OF_PATIENT_ID = "00100021"
# The attributes that a search must request for `Patient.from_dataset`.
PATIENT_FIELDS = ("PatientID", "IssuerOfPatientID")
_HASH_CHARACTERS = 32


@dataclass(frozen=True)
class Patient:
    """A patient's identity in the PACS; empty text where there is no value.

    Parameters
    ----------
    patient_id
        PatientID (0010,0020), without surrounding spaces, which are not significant in an LO (PS3.5 §6.2).
    issuer
        IssuerOfPatientID (0010,0021), likewise.
    """

    patient_id: str
    issuer: str = ""

    @classmethod
    def of(cls, patient_id: str | None, issuer: str | None = None) -> "Patient":
        """Return the patient with these plain values."""
        return cls(_stripped(patient_id), _stripped(issuer))

    @classmethod
    def from_dataset(cls, dataset: Mapping[str, Any]) -> "Patient":
        """Return the patient of a dataset in the DICOM JSON Model (PS3.18 F), such as a row of a search."""
        return cls(_first(dataset, PATIENT_ID), _first(dataset, ISSUER_OF_PATIENT_ID))

    def is_same(self, other: "Patient") -> bool:
        """Return whether both are one patient: the same id, and no issuer that contradicts the other's."""
        return self.patient_id == other.patient_id and (
            not self.issuer or not other.issuer or self.issuer == other.issuer
        )


class Keys(Protocol):
    """Keys by id; `dicom_service.otp.keyring.Keyring` is one."""

    def current(self) -> tuple[str, bytes]:
        """Return the id and the key for new hashes."""

    def find(self, key_id: str) -> bytes | None:
        """Return the key with this id, or None."""

    def all(self) -> Mapping[str, bytes]:
        """Return all keys by id."""


class PatientHasher:
    """Hashes patients, and compares a patient with a hash.

    A hash is ``<key id>.<hash of the id>.<hash of id and issuer, or nothing>``, so that the comparison by hashes is
    the one of `Patient.is_same`, and the first two parts find a patient in an index.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def hash(self, patient: Patient) -> str:
        """Return the keyed hash of a patient, which may be stored."""
        key_id, key = self._keys.current()
        return _hash(key_id, key, patient)

    def all_hashes(self, patient: Patient) -> list[str]:
        """Return the hashes of a patient under every key, to find entries made with older keys."""
        return [_hash(key_id, key, patient) for key_id, key in self._keys.all().items()]

    def digest(self, text: str) -> str:
        """Return a keyed digest of any text that has patients' data in it, for names of cached objects."""
        return _digest(self._keys.current()[1], "cache", text)

    def matches(self, hashed: str, patient: Patient) -> bool:
        """Return whether `hashed` was made of this patient; False also when its key no longer exists."""
        key_id = hashed.partition(".")[0]
        key = self._keys.find(key_id)
        if key is None:
            return False
        known, asked = hashed.split("."), _hash(key_id, key, patient).split(".")
        if len(known) != len(asked) or not hmac.compare_digest(known[1], asked[1]):
            return False
        return not known[2] or not asked[2] or hmac.compare_digest(known[2], asked[2])


def index_value(hashed: str) -> str:
    """Return the part of a hash that identifies the patient id regardless of its issuer."""
    return hashed.rpartition(".")[0]


def _hash(key_id: str, key: bytes, patient: Patient) -> str:
    issued = _digest(key, "issued patient id", f"{patient.issuer}\x00{patient.patient_id}") if patient.issuer else ""
    return f"{key_id}.{_digest(key, 'patient id', patient.patient_id)}.{issued}"


def _digest(key: bytes, purpose: str, text: str) -> str:
    derived = hmac.digest(key, f"dicom-service {purpose}".encode(), "sha256")
    return hmac.digest(derived, text.encode(), "sha256").hex()[:_HASH_CHARACTERS]


def _stripped(value: str | None) -> str:
    return (value or "").strip(" \x00")


def _first(dataset: Mapping[str, Any], tag: str) -> str:
    values = dataset.get(tag, {}).get("Value") or [""]
    return _stripped(str(values[0] if values[0] is not None else ""))
