"""What an exam access token without `download` opens of the files: reports, and nothing else."""

import io
import time
from typing import Any

import pydicom
import pytest

from dicom_service.otp.keyring import Keyring
from dicom_service.patient import Patient, PatientHasher
from tests.support.exam_pacs import CT_BYTES, INSTANCE, STUDY, multipart, pacs, picture
from tests.support.lambdas import Invoke, sample_event
from tests.support.pacs import FakePacs, answer, dicom_json

CT, PDF = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.104.1"
CDA, SR, KEY_OBJECTS = (
    "1.2.840.10008.5.1.4.1.1.104.2",
    "1.2.840.10008.5.1.4.1.1.88.33",
    "1.2.840.10008.5.1.4.1.1.88.59",
)
# Begins like the prefix of a report but is another class (Encapsulated STL), and one that only looks alike.
STL, LOOKALIKE = "1.2.840.10008.5.1.4.1.1.104.3", "1.2.840.10008.5.1.4.1.1.880"


@pytest.fixture(autouse=True)
def otp_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names that the scope of a token is made with; a token just compared reads none of these tables."""
    for variable in ("OTPS_TABLE", "ACCESS_TOKENS_TABLE", "EXAM_EVENTS_TABLE", "OTP_SUBJECTS_TABLE"):
        monkeypatch.setenv(variable, variable.title())


def asked_by(download: str | None) -> dict[str, Any]:
    """A request for the file with an exam access token of its patient, compared a moment ago."""
    context = sample_event("get_instance")["requestContext"]
    patient = Patient(str(pydicom.dcmread(io.BytesIO(CT_BYTES)).PatientID))
    token = {
        "role": "exam",
        "studyUID": STUDY,
        "patient": PatientHasher(Keyring.of("patients")).hash(patient),
        "comparedAt": str(int(time.time())),
    } | ({} if download is None else {"download": download})
    return {"requestContext": {**context, "authorizer": token}, **picture(fileType="application/dicom")}


def row(sop_class: str) -> dict[str, Any]:
    return {"00080016": {"vr": "UI", "Value": [sop_class]}, "00080018": {"vr": "UI", "Value": [INSTANCE]}}


def having(*classes: str) -> FakePacs:
    found = dicom_json([row(sop_class) for sop_class in classes]) if classes else answer(204)
    return pacs(("/instances", found), (f"/instances/{INSTANCE}", multipart(CT_BYTES)))


@pytest.mark.parametrize("sop_class", [CT, STL, LOOKALIKE])
@pytest.mark.parametrize("download", ["false", None, "True"])
def test_a_file_is_not_opened_without_download(sop_class: str, download: str | None, invoke: Invoke) -> None:
    with having(sop_class) as server:
        given = invoke("get_instance", server.url, **asked_by(download))
        fetched = [request for request in server.received if request.path.endswith(INSTANCE)]
    assert (given.status, given.json["code"]) == (403, "DOWNLOAD_NOT_ALLOWED")
    assert fetched == []


@pytest.mark.parametrize("sop_class", [PDF, CDA, SR, KEY_OBJECTS])
def test_a_report_is(sop_class: str, invoke: Invoke) -> None:
    with having(sop_class) as server:
        given = invoke("get_instance", server.url, **asked_by("false"))
    assert (given.status, given.body) == (200, CT_BYTES)


@pytest.mark.parametrize("classes", [(), (PDF, CT), ("",)])
def test_what_may_be_a_picture_is_not(classes: tuple[str, ...], invoke: Invoke) -> None:
    with having(*classes) as server:
        given = invoke("get_instance", server.url, **asked_by("false"))
    assert (given.status, given.json["code"]) == (403, "DOWNLOAD_NOT_ALLOWED")


def test_with_download_the_pacs_is_not_asked_what_it_is(invoke: Invoke) -> None:
    with having(CT) as server:
        given = invoke("get_instance", server.url, **asked_by("true"))
        asked = [request.path for request in server.received]
    assert (given.status, given.body) == (200, CT_BYTES)
    assert [path.endswith(f"/instances/{INSTANCE}") for path in asked] == [True]
