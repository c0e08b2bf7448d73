"""What is told to others when a workitem changes: ids and state, nothing else of the patient."""

from __future__ import annotations

from dicom_service.outbox import Event
from dicomweb.worklist.base import CANCELED, COMPLETED, Workitem

CREATED = "Workitem Created"
UPDATED = "Workitem Updated"
DELETED = "Workitem Deleted"

_OF_STATE = {COMPLETED: "Workitem Completed", CANCELED: "Workitem Canceled"}


def event(detail_type: str, item: Workitem) -> Event:
    """Give the event that tells of a workitem."""
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


def state_event(item: Workitem) -> Event:
    """Give the event that tells of a workitem's new state; a claim is an update."""
    return event(_OF_STATE.get(item.state, UPDATED), item)
