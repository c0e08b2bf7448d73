"""The forms of a notification: one for the bus, one shared by the change feed and the webhooks."""

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dicom_service.day import iso_milliseconds

SOURCE = "dicom-service"
# Of the schemas in schemas/events; a new minor number adds members, a new major one changes them.
SCHEMA_VERSION = "1.1"


@dataclass(frozen=True)
class Notification:
    """An event with its position in the feed.

    Parameters
    ----------
    event_id
        The same wherever and however often it is delivered; ``webhook-id`` of the webhooks.
    detail_type
        The kind of event, such as ``Exam Uploaded``.
    detail
        As it was written to the outbox.
    created_at
        When it was written, in ms since the epoch.
    position
        Counted from 1, without gaps.
    """

    event_id: str
    detail_type: str
    detail: Mapping[str, Any]
    created_at: int
    position: int

    def data(self) -> dict[str, Any]:
        """Return the detail with id, position and schema version: EventBridge's ``detail``, a webhook's ``data``."""
        return {"version": SCHEMA_VERSION, **self.detail, "eventId": self.event_id, "sequence": self.position}

    def body(self) -> dict[str, Any]:
        """Return the form of the feed and the webhooks (Standard Webhooks, "Payload structure")."""
        return {"type": self.detail_type, "timestamp": timestamp(self.created_at), "data": self.data()}

    def bus_entry(self, bus: str) -> dict[str, Any]:
        """Return the entry for ``PutEvents``."""
        return {
            "EventBusName": bus,
            "Source": SOURCE,
            "DetailType": self.detail_type,
            "Detail": json.dumps(self.data(), separators=(",", ":"), ensure_ascii=False),
            "Time": datetime.datetime.fromtimestamp(self.created_at / 1000, datetime.UTC),
        }


def timestamp(milliseconds: int) -> str:
    """Write a time as RFC 3339 in UTC."""
    return iso_milliseconds(datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC))
