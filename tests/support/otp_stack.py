"""One-time passwords of the deployed service, over HTTP."""

import os
from dataclasses import dataclass
from typing import Any

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
