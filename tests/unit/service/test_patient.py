"""One patient or two: ids as the PACS gives them, the issuer where there is one; and what is kept of them."""

from collections.abc import Mapping

import pytest

from dicom_service.patient import Patient, PatientHasher, index_value

KEYS = {"k1": b"1" * 32, "k2": b"2" * 32}


class Ring:
    def __init__(self, current: str = "k1", **keys: bytes) -> None:
        self.now = current
        self.keys = keys or dict(KEYS)

    def current(self) -> tuple[str, bytes]:
        return self.now, self.keys[self.now]

    def find(self, key_id: str) -> bytes | None:
        return self.keys.get(key_id)

    def all(self) -> Mapping[str, bytes]:
        return self.keys


PAIRS = [
    (Patient("A"), Patient("B"), False),
    (Patient("A"), Patient("a"), False),
    (Patient("A", "X"), Patient("A", "Y"), False),
    (Patient("A", "X"), Patient("B", "X"), False),
    (Patient(""), Patient("A"), False),
    (Patient("A"), Patient("A"), True),
    (Patient("A", "X"), Patient("A"), True),
    (Patient("A"), Patient("A", "X"), True),
    (Patient("A", "X"), Patient("A", "X"), True),
    (Patient(""), Patient(""), True),
    # The parts cannot run into each other.
    (Patient("BC", "A"), Patient("C", "AB"), False),
]


@pytest.mark.parametrize(("one", "other", "same"), PAIRS)
def test_patients_are_compared_alike_by_value_and_by_hash(one: Patient, other: Patient, same: bool) -> None:
    hasher = PatientHasher(Ring())
    assert one.is_same(other) is same
    assert hasher.matches(hasher.hash(one), other) is same


def test_spaces_and_padding_around_an_id_mean_nothing() -> None:
    assert Patient.of(" 12 34 \x00", None) == Patient("12 34")
    row = {"00100020": {"vr": "LO", "Value": [" 12 34 "]}, "00100021": {"vr": "LO", "Value": ["ASL1 "]}}
    assert Patient.from_dataset(row) == Patient("12 34", "ASL1")


@pytest.mark.parametrize("row", [{}, {"00100020": {"vr": "LO"}}, {"00100020": {"vr": "LO", "Value": [None]}}])
def test_a_dataset_without_an_id_has_an_empty_one(row: dict[str, object]) -> None:
    assert Patient.from_dataset(row) == Patient("")


def test_a_hash_shows_nothing_and_needs_its_key() -> None:
    hashed = PatientHasher(Ring()).hash(Patient("PAT-1", "ASL1"))
    assert "PAT-1" not in hashed
    assert "ASL1" not in hashed
    # GIVEN a second key, which is current now WHEN the old hash is compared THEN its own key is used
    assert PatientHasher(Ring("k2")).matches(hashed, Patient("PAT-1"))
    assert PatientHasher(Ring("k2")).hash(Patient("PAT-1")) != PatientHasher(Ring()).hash(Patient("PAT-1"))
    # GIVEN that its key is gone THEN it is nobody's
    assert not PatientHasher(Ring("k2", k2=KEYS["k2"])).matches(hashed, Patient("PAT-1", "ASL1"))


def test_a_patient_is_found_whoever_issued_the_id() -> None:
    hasher = PatientHasher(Ring())
    found = {index_value(hasher.hash(Patient("A", issuer))) for issuer in ("", "X", "Y")}
    assert len(found) == 1
    assert index_value(hasher.hash(Patient("B"))) not in found


@pytest.mark.parametrize("hashed", ["", "k1", "k1.", "k1..", "k1.x", "no.such.key", "k1.a.b.c"])
def test_what_is_no_hash_is_nobody(hashed: str) -> None:
    assert not PatientHasher(Ring()).matches(hashed, Patient("A"))
