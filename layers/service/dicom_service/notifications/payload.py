"""The body of a webhook: the envelope of Standard Webhooks, or the PACS's own event as the reference forwards it."""

from collections.abc import Mapping
from typing import Any

from dicom_service.notifications.callback import FIELDS, Callback
from dicom_service.notifications.message import SOURCE

ENVELOPE, PACS_EVENT = "envelope", "pacs-event"


def callback_format(text: str) -> str:
    """Cast the name of a format."""
    if text not in (ENVELOPE, PACS_EVENT):
        raise ValueError("not a format of webhooks")
    return text


def pacs_event(data: Mapping[str, Any], callback: Callback | None) -> Mapping[str, Any]:
    """Return the body for receivers of the reference.

    Parameters
    ----------
    data
        The announcement.
    callback
        The PACS's callback about the exam, forwarded unchanged. Without one the same fields are filled from the
        announcement; fields that it does not have are null.
    """
    if callback is not None:
        return callback.fields
    known = {name: data[name] for name in FIELDS if name in data}
    return {**dict.fromkeys(FIELDS), **known, "SourceID": SOURCE, "EventType": data.get("eventType")}
