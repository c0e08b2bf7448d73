"""Requests that are recorded, and the records they leave."""

import datetime
from typing import Any

from dicom_service import aws
from dicom_service.audit.recorder import Recorder
from dicom_service.audit.store import AuditSettings, AuditWriter
from dicom_service.patient import PatientHasher
from tests.support.cloud import ENVIRONMENT
from tests.support.otp import keyring

KEYS = ENVIRONMENT["PATIENT_KEYS_SECRET_ARN"]
TABLE = ENVIRONMENT["AUDIT_TABLE"]
STUDY, OTHER = "1.2.826.0.1.7", "1.2.826.0.1.8"
STUDY_ROUTE = "/exams/studies/{studyUID}"
NOON = datetime.datetime(2026, 1, 31, 12, 0, tzinfo=datetime.UTC)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime.datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += datetime.timedelta(**by)


def request(
    method: str = "GET",
    resource: str = f"{STUDY_ROUTE}/thumbnail",
    *,
    study: str | None = STUDY,
    who: str | None = "clinic",
    role: str = "service",
    number: str = "r1",
    query: dict[str, str] | None = None,
    body: str = "",
    address: str = "203.0.113.7",
    **context: str,
) -> dict[str, Any]:
    """Return the event of one request."""
    known = {"principal": who, "role": role, **context} if who else None
    return {
        "httpMethod": method,
        "resource": resource,
        "path": resource,
        "pathParameters": {"studyUID": study} if study else None,
        "queryStringParameters": query,
        "body": body,
        "isBase64Encoded": False,
        "requestContext": {
            "requestId": number,
            "identity": {"sourceIp": address},
            **({"authorizer": known} if known else {}),
        },
    }


def hasher() -> PatientHasher:
    return PatientHasher(keyring(KEYS))


def recorder(clock: Clock, mode: str = "strict") -> Recorder:
    made = hasher()
    return Recorder(AuditWriter(AuditSettings(name=TABLE, mode=mode)), lambda: made, clock=clock)


def records(table: str = TABLE) -> list[dict[str, Any]]:
    """Return every record, oldest first."""
    items = aws.dynamodb().scan(TableName=table)["Items"]
    return sorted(map(aws.from_item, items), key=lambda row: (row["at"], row["id"]))


def serve_once(to: Recorder, event: dict[str, Any], status: int = 200) -> None:
    """Do what the edge does with one request that has nothing to note."""
    to.finish(to.begin(event), status)
