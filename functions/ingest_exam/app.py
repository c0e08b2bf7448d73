"""The ingest queue: brings staged objects, uploaded or dropped, to the PACS."""

from functools import cache
from typing import Any

from dicom_service.uploads import ingest_wiring
from dicom_service.uploads.ingest import Ingest
from dicom_service.uploads.staged import read_messages


@cache
def ingest() -> Ingest:
    return ingest_wiring.ingest()


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    seconds_left = context.get_remaining_time_in_millis() / 1000
    again = ingest().handle(read_messages(event), seconds_left)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in again]}
