"""Callbacks, by which the PACS reports an exam: stored, readable, a reason to check (security.md)."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dicom_service import aws
from dicom_service.errors import BadRequest
from dicom_service.exams.completeness_checks import Check, CheckQueue, CheckSettings
from dicom_service.notifications.message import timestamp
from dicom_service.settings import setting
from dicomweb.uid import is_uid

CALLBACK = "#callback"
LARGEST_BODY = 64_000
_KEPT_DAYS = 90

_TEXTS = frozenset(
    {
        "SourceID",
        "StudyInstanceUID",
        "AccessionNumber",
        "PatientID",
        "EventType",
        "StudyDate",
        "StudyTime",
        "StudyID",
        "ReferringPhysicianName",
        "StudyDescription",
        "PatientName",
        "PatientBirthDate",
        "PatientSex",
    }
)
_COUNTS = frozenset({"NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances"})
_LISTS = frozenset({"ModalitiesInStudy", "AeTitles", "StationNames"})
FIELDS = tuple(sorted(_TEXTS | _COUNTS | _LISTS))


@dataclass(frozen=True)
class CallbackSettings:
    """The table of callbacks and the queue of checks."""

    table: str = setting("EXAMS_TABLE")
    checks_queue_url: str = setting("EXAM_CHECKS_QUEUE_URL")


@dataclass(frozen=True)
class CallbackReadSettings:
    """The table of callbacks."""

    table: str = setting("EXAMS_TABLE")


@dataclass(frozen=True)
class Callback:
    """The last callback about an exam.

    Parameters
    ----------
    fields
        Its body, unchanged.
    received_at
        In seconds since the epoch.
    """

    fields: Mapping[str, Any]
    received_at: int

    def row(self) -> dict[str, Any]:
        """Return the form of ``GET /exams/studies/{studyUID}/callbacks``."""
        return {"receivedAt": timestamp(self.received_at * 1000), "fields": self.fields}


def read_callback(table: str, study_uid: str, *, clock: Callable[[], float] = time.time) -> Callback | None:
    """Return the last callback about a study; None when there is none or it has expired."""
    with aws.errors("The reports of the PACS cannot be read at the moment; try again."):
        item = aws.get(table, {"StudyInstanceUID": study_uid, "SOPInstanceUID": CALLBACK}) or {}
    # DynamoDB deletes expired items days later.
    if item.get("expiresAt", 0) <= clock():
        return None
    return Callback(json.loads(item["fields"]), int(item["receivedAt"]))


def check_fields(body: Mapping[str, Any]) -> None:
    """Check a callback's fields; fields that the reference does not name may have any value.

    Raises
    ------
    BadRequest
        Its member ``errors`` has one entry for each invalid field.
    """
    problems = [(name, "required") for name in ("SourceID", "StudyInstanceUID") if body.get(name) in (None, "")]
    study = body.get("StudyInstanceUID")
    if isinstance(study, str) and study and not is_uid(study):
        problems.append(("StudyInstanceUID", "not a UID"))
    for name, value in body.items():
        if value is not None and not _fits(name, value):
            problems.append((name, "has the wrong type"))
    if problems:
        listed = "; ".join(f"{name}: {problem}" for name, problem in problems)
        errors = [{"field": name, "problem": problem} for name, problem in problems]
        raise BadRequest(f"Bad fields: {listed}.", code="INVALID_FIELD", errors=errors)


def _fits(name: str, value: Any) -> bool:
    if name in _TEXTS:
        return isinstance(value, str)
    if name in _COUNTS:
        # Some senders write IS values as text, as DICOM does.
        return (isinstance(value, int) and not isinstance(value, bool)) or (
            isinstance(value, str) and value.isascii() and value.isdecimal()
        )
    if name in _LISTS:
        return isinstance(value, str) or (isinstance(value, list) and all(isinstance(entry, str) for entry in value))
    return True


class Callbacks:
    """Stores callbacks and queues checks.

    Parameters
    ----------
    settings
        Table and queue.
    clock
        Seconds since the epoch.
    """

    def __init__(self, settings: CallbackSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._table = settings.table
        self._checks = CheckQueue(CheckSettings(settings.checks_queue_url))
        self._clock = clock

    def take(self, body: Mapping[str, Any]) -> None:
        """Store a callback for 90 days and queue a check of its exam; both are durable once this returns.

        Of the callback, the check has the StudyInstanceUID alone.
        """
        check_fields(body)
        now = int(self._clock())
        item = {
            "StudyInstanceUID": body["StudyInstanceUID"],
            "SOPInstanceUID": CALLBACK,
            "fields": json.dumps(dict(body), separators=(",", ":"), ensure_ascii=False),
            "receivedAt": now,
            "expiresAt": now + _KEPT_DAYS * 86_400,
        }
        with aws.errors("The report cannot be kept at the moment; send it again."):
            aws.dynamodb().put_item(TableName=self._table, Item=aws.to_item(item))
        self._checks.enqueue([Check(body["StudyInstanceUID"], "callback")])
