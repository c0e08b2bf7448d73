"""What a webhook's body is: the envelope of Standard Webhooks, or the PACS's own event as the reference proxies it."""

from collections.abc import Mapping
from typing import Any

from dicom_service.notifications.callback import FIELDS, Report
from dicom_service.notifications.message import SOURCE

ENVELOPE, PACS_EVENT = "envelope", "pacs-event"


def callback_format(text: str) -> str:
    """Cast the name of a format."""
    if text not in (ENVELOPE, PACS_EVENT):
        raise ValueError("not a format of webhooks")
    return text


def pacs_event(data: Mapping[str, Any], report: Report | None) -> Mapping[str, Any]:
    """Return the body for receivers of the reference.

    Parameters
    ----------
    data
        What was announced.
    report
        What the PACS reported of the exam: it is passed on as it came. Without one the same fields are made from what
        was announced, those that an announcement does not have as null.
    """
    if report is not None:
        return report.fields
    known = {name: data[name] for name in FIELDS if name in data}
    return {**dict.fromkeys(FIELDS), **known, "SourceID": SOURCE, "EventType": data.get("eventType")}
