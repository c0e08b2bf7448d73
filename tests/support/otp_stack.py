"""One-time passwords of the deployed service, over HTTP."""

import os
from dataclasses import dataclass
from typing import Any

import requests

from tests.support.stack import Stack

SOAK = os.environ.get("SOAK") == "1"


@dataclass(frozen=True)
class StoredExam:
    """An exam of one image in the PACS behind the stack."""

    study_uid: str
    series_uid: str
    instance_uid: str
    patient_id: str

    @property
    def path(self) -> str:
        return f"/exams/studies/{self.study_uid}"


def scaled(small: int, full: int) -> int:
    """Give the count of an attack: small in `make test`, full in `make soak`."""
    return full if SOAK else small


def issue(stack: Stack, exam: StoredExam, **wishes: Any) -> dict[str, Any]:
    """Issue over HTTP."""
    body = {"studyUID": exam.study_uid, "patientID": exam.patient_id, **wishes}
    answer = stack.request("POST", "/otps", json=body)
    assert answer.status_code == 201, answer.text
    issued: dict[str, Any] = answer.json()
    return issued


def redeem(stack: Stack, issued: dict[str, Any]) -> str:
    """Redeem over HTTP; give the access token."""
    answer = stack.request("POST", "/otps/redeem", key=None, json={"token": issued["token"]})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["accessToken"])


def pacs(stack: Stack, method: str, path: str, **more: Any) -> requests.Response:
    """Call Orthanc by its own interface, past the service."""
    login = (stack.values["STACK_PACS_USER"], stack.values["STACK_PACS_PASSWORD"])
    return requests.request(
        method, stack.values["STACK_PACS_URL"].removesuffix("/dicom-web") + path, auth=login, timeout=60, **more
    )


def correct(stack: Stack, before: str, after: str) -> None:
    """Have Orthanc change a PatientID, the UIDs of its exams kept, as after a mix-up."""
    query = {"Level": "Patient", "Query": {"PatientID": before}}
    (patient,) = pacs(stack, "POST", "/tools/find", json=query).json()
    change = {
        "Replace": {"PatientID": after, "PatientName": "CANARY^OTP"},
        "Keep": ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"],
        "Force": True,
        "KeepSource": False,
    }
    answer = pacs(stack, "POST", f"/patients/{patient}/modify", json=change)
    assert answer.status_code == 200, answer.text
