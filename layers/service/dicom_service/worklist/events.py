"""Events published when a workitem changes: ids and state, nothing else of the patient."""

from __future__ import annotations

from dicom_service.outbox import Event
from dicomweb.worklist.base import CANCELED, COMPLETED, Workitem

CREATED = "Workitem Created"
UPDATED = "Workitem Updated"
DELETED = "Workitem Deleted"

_OF_STATE = {COMPLETED: "Workitem Completed", CANCELED: "Workitem Canceled"}


def event(detail_type: str, item: Workitem) -> Event:
    """Return the event about a workitem."""
    return Event(
        detail_type,
        {
            "StudyInstanceUID": item.study_instance_uid,
            "WorkitemUID": item.workitem_uid,
            "AccessionNumber": item.fields.get("AccessionNumber", ""),
            "PatientID": item.fields.get("PatientID", ""),
            "State": item.state,
        },
    )


def of_state(state: str) -> str:
    """Return the detail type of the event about a new state; a claim is an update."""
    return _OF_STATE.get(state, UPDATED)
