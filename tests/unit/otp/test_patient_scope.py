"""What one request may see, and how often the PACS is asked for it."""

import io
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import UID

from dicom_service import aws
from dicom_service.errors import NotFound, PacsError
from dicom_service.exams.patient_scope import Bearer, PatientScope, patient_of_file
from dicom_service.otp.codes import token_hash
from dicom_service.otp.guard import ExamGuard, ExamSuspended
from dicom_service.patient import Patient
from tests.support.otp import PATIENT, STUDY, FakePacs, Harness, study

OTHER = {"00100020": {"vr": "LO", "Value": ["SOMEBODY-ELSE"]}}
OWN = {"00100020": {"vr": "LO", "Value": [PATIENT]}}


def scope(harness: Harness, **changes: Any) -> PatientScope:
    """Give the scope of a request with a token of a code issued now, as its row says."""
    issued = harness.issue(max_uses=5)
    hashed = token_hash(harness.redeem(issued)["accessToken"])
    key = aws.to_item({"tokenHash": hashed})
    if changes:
        put = aws.dynamodb().get_item(TableName=harness.tables.access_tokens, Key=key)["Item"] | aws.to_item(changes)
        aws.dynamodb().put_item(TableName=harness.tables.access_tokens, Item=put)
    return again(harness, hashed)


def again(harness: Harness, hashed: str) -> PatientScope:
    key = aws.to_item({"tokenHash": hashed})
    row = aws.from_item(aws.dynamodb().get_item(TableName=harness.tables.access_tokens, Key=key)["Item"])
    bearer = Bearer(row["otpId"], hashed, STUDY, row["patient"], row["comparedAt"])
    return PatientScope(bearer, lambda: harness.guard, harness.tables.access_tokens, clock=harness.clock)


def test_the_pacs_is_asked_once_a_minute_however_many_ask(harness: Harness) -> None:
    scope(harness)
    (item,) = aws.dynamodb().scan(TableName=harness.tables.access_tokens)["Items"]
    hashed = aws.from_item(item)["tokenHash"]
    harness.pacs.asked = 0
    for _ in range(10):
        again(harness, hashed).revalidate(harness.pacs)
    assert harness.pacs.asked == 0
    # WHEN the minute is over THEN one of ten that began with the same row asks
    harness.clock.now += 60
    many = [again(harness, hashed) for _ in range(10)]
    for one in many:
        one.revalidate(harness.pacs)
    assert harness.pacs.asked == 1
    harness.clock.now += 59
    again(harness, hashed).revalidate(harness.pacs)
    assert harness.pacs.asked == 1


@pytest.mark.parametrize("changes", [{"comparedAt": 0}, {"comparedAt": 0, "patient": ""}])
def test_a_token_that_was_never_compared_shows_nothing_before(harness: Harness, changes: dict[str, Any]) -> None:
    one = scope(harness, **changes)
    harness.pacs.studies.append(study(patient="SOMEBODY-ELSE"))
    with pytest.raises(ExamSuspended):
        one.ensure_compared(harness.pacs)


def test_a_pacs_that_is_down_is_asked_again_by_the_next_request(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = scope(harness)
    harness.clock.now += 60

    def down(*_: Any, **__: Any) -> None:
        raise PacsError("down", status=502, code="PACS_UNREACHABLE")

    with monkeypatch.context() as patched, pytest.raises(PacsError):
        patched.setattr(harness.pacs, "search_for_studies", down)
        one.revalidate(harness.pacs)
    harness.pacs.studies.append(study(patient="SOMEBODY-ELSE"))
    with pytest.raises(ExamSuspended):
        one.revalidate(harness.pacs)


def test_an_exam_that_is_gone_is_not_found(harness: Harness) -> None:
    one = scope(harness)
    harness.clock.now += 60
    harness.pacs.studies.clear()
    with pytest.raises(NotFound):
        one.revalidate(harness.pacs)


def test_rows_headers_and_files_of_another_patient_are_not_shown(harness: Harness) -> None:
    scope(harness).check_rows([OWN, OWN, {"0020000E": {"vr": "UI", "Value": ["1.2"]}}])
    scope(harness).check_header(OWN)
    with pytest.raises(ExamSuspended):
        scope(harness).check_rows([OWN, OTHER])
    for header in (OTHER, {}):
        with pytest.raises(ExamSuspended):
            scope(harness).check_header(header)
    with pytest.raises(ExamSuspended):
        scope(harness).check_file(file_of("SOMEBODY-ELSE"))
    with pytest.raises(PacsError):
        scope(harness).check_file(b"no DICOM file")
    scope(harness).check_file(file_of(PATIENT))


def test_control_without_the_comparison_another_patient_is_seen(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attack succeeds where the guard is taken out, so it is the guard that ends it."""
    monkeypatch.setattr(ExamGuard, "compare", lambda *arguments: arguments[-1])
    scope(harness).check_rows([OWN, OTHER])
    scope(harness).check_header(OTHER)
    scope(harness).check_file(file_of("SOMEBODY-ELSE"))


def test_control_other_credentials_see_everything(harness: Harness) -> None:
    PatientScope().check_rows([OTHER])
    PatientScope().check_header(OTHER)
    PatientScope().check_file(b"")
    PatientScope().revalidate(FakePacs())


def file_of(patient_id: str, syntax: str = "1.2.840.10008.1.2.1", issuer: str = "") -> bytes:
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    dataset.PatientID, dataset.IssuerOfPatientID = patient_id, issuer
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    data = io.BytesIO()
    dataset.save_as(data, enforce_file_format=True, implicit_vr=syntax == "1.2.840.10008.1.2", little_endian=True)
    return data.getvalue()


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"])
def test_the_patient_of_a_file_is_in_its_beginning(syntax: str) -> None:
    assert patient_of_file(file_of("P 1", syntax, "ASL1")[:8000]) == Patient("P 1", "ASL1")


def test_what_does_not_say_whose_it_is_is_nobodys() -> None:
    whole = file_of("P1")
    assert patient_of_file(whole) == Patient("P1")
    assert all(patient_of_file(whole[:length]) in (None, Patient("")) for length in (0, 100, 140, 300))
