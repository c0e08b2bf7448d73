"""What became of a staged file: one state, why, and what it brought."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dicom_service.element_walk import NotDicom
from dicom_service.exams.registry import Arrived
from dicom_service.part10 import Header
from dicom_service.uploads.failures import (
    DETAILS,
    NO_INSTANCES,
    NOT_AN_INSTANCE,
    OBJECT_MISSING,
    PARTLY_STORED,
    Refusal,
)
from dicom_service.uploads.sender import Verdict
from dicom_service.uploads.zip_reader import ZipRejected

State = Literal["stored", "partly-stored", "rejected"]


@dataclass(frozen=True)
class Outcome:
    """The end of one staged file.

    Parameters
    ----------
    state
        What it is from now on.
    reason, detail
        Why not all of it was stored.
    values
        What else is noted of it: instance, study, counts.
    entries
        For a ZIP: one result for each entry, for its report.
    arrived
        For a single file: the instance that the PACS now has.
    """

    state: State
    reason: str | None = None
    detail: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    entries: Sequence[Mapping[str, Any]] | None = None
    arrived: Arrived | None = None

    @property
    def noted(self) -> dict[str, Any]:
        """Give what the Uploads table and the report say."""
        return {"state": self.state, "reason": self.reason, "detail": self.detail, **self.values}


def rejected(reason: str, detail: str | None = None, **values: Any) -> Outcome:
    """Give the end of a file that is not stored."""
    return Outcome("rejected", reason, detail or DETAILS[reason], values)


def not_dicom(error: NotDicom | ZipRejected) -> Outcome:
    """Give the end of a file that cannot be stored by anyone."""
    return rejected(error.reason, error.detail)


def judged(header: Header, verdict: Verdict) -> Outcome:
    """Give the end of a single file by what the PACS said."""
    uids = {"studyInstanceUID": header.study_instance_uid, "sopInstanceUID": header.sop_instance_uid}
    if verdict.stored:
        return Outcome("stored", values={**uids, "instances": 1}, arrived=arrived(header))
    if verdict.missing:
        return rejected(OBJECT_MISSING)
    refusal = verdict.refusal or Refusal("PACS_REFUSED", None, passing=False)
    return rejected(refusal.reason, refusal.detail, failureReason=refusal.code, **uids)


def arrived(header: Header) -> Arrived:
    """Give an instance as the register of exams notes it."""
    return Arrived(
        study_instance_uid=header.study_instance_uid,
        series_instance_uid=header.series_instance_uid,
        sop_instance_uid=header.sop_instance_uid,
        sop_class_uid=header.sop_class_uid,
        modality=header.modality,
        patient_id=header.patient_id,
        accession_number=header.accession_number,
    )


def entry_failure(name: str, reason: str, detail: str | None = None, code: str | None = None) -> dict[str, Any]:
    """Give the result of a ZIP's entry that was not stored: skipped if it never was an instance."""
    state = "skipped" if reason in NOT_AN_INSTANCE else "rejected"
    result = {"name": name, "state": state, "reason": reason, "detail": detail, "failureReason": code}
    return {key: value for key, value in result.items() if value is not None}


def entry_result(name: str, header: Header, verdict: Verdict) -> dict[str, Any]:
    """Give the result of a ZIP's entry by what the PACS said."""
    outcome = judged(header, verdict)
    if outcome.state == "stored":
        uids = {"studyInstanceUID": header.study_instance_uid, "sopInstanceUID": header.sop_instance_uid}
        return {"name": name, "state": "stored", **uids}
    return entry_failure(name, outcome.reason or "", outcome.detail, outcome.values.get("failureReason"))


def of_archive(entries: Sequence[Mapping[str, Any]]) -> Outcome:
    """Sum the results of a ZIP's entries up: what is no instance counts neither for nor against it."""
    states = Counter(entry["state"] for entry in entries)
    values = {
        "entries": {state: states[state] for state in ("stored", "rejected", "skipped")},
        "reasons": dict(Counter(entry["reason"] for entry in entries if "reason" in entry)),
        "instances": len({entry["sopInstanceUID"] for entry in entries if entry["state"] == "stored"}),
    }
    if not states["stored"]:
        worst = Counter(entry["reason"] for entry in entries if entry["state"] == "rejected").most_common(1)
        reason = worst[0][0] if worst else NO_INSTANCES
        detail = DETAILS[NO_INSTANCES] if not worst else "No instance of the ZIP was stored."
        return Outcome("rejected", reason, detail, values, entries)
    if states["rejected"]:
        return Outcome("partly-stored", PARTLY_STORED, DETAILS[PARTLY_STORED], values, entries)
    return Outcome("stored", values=values, entries=entries)
