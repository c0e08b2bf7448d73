"""``Access Recorded`` on the bus: each new record of the audit, from the stream of its table (``AccessEvents``)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dicom_service import aws
from dicom_service.audit.view import view
from dicom_service.settings import setting

ACCESS_RECORDED = "Access Recorded"
_SOURCE = "dicom-service"


@dataclass(frozen=True)
class BusSettings:
    """The bus of the service's events."""

    bus: str = setting("EVENT_BUS")


def announce_accesses(event: Mapping[str, Any], bus: str) -> dict[str, Any]:
    """Put the accesses of a batch of the stream on the bus; return the records to be delivered again.

    A repeated read only raises a count and is not announced again; a change is announced once its outcome is known.
    """
    records = [record for record in event["Records"] if _is_complete_now(record["dynamodb"])]
    entries = [
        {
            "EventBusName": bus,
            "Source": _SOURCE,
            "DetailType": ACCESS_RECORDED,
            "Detail": json.dumps(detail(record["dynamodb"]["NewImage"])),
        }
        for record in records
    ]
    failed = aws.put_events(entries)
    numbers = [records[position]["dynamodb"]["SequenceNumber"] for position in sorted(failed)]
    return {"batchItemFailures": [{"itemIdentifier": number} for number in numbers]}


def detail(image: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an event says of a record: as `GET …/accesses`, without the members that count."""
    shown = view(aws.from_item(image))
    return {"version": "1.0"} | {name: value for name, value in shown.items() if name not in ("count", "last")}


def _is_complete_now(change: Mapping[str, Any]) -> bool:
    return "status" in change.get("NewImage", {}) and "status" not in change.get("OldImage", {})
