"""The ZIP queue: brings the instances of staged ZIPs, which the ingest hands over, to the PACS."""

from typing import Any

from dicom_service.aws.sqs_worker import batch_response, read_messages
from dicom_service.ingest.dependencies import zip_ingest


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    seconds_left = context.get_remaining_time_in_millis() / 1000
    return batch_response(zip_ingest().handle(read_messages(event), seconds_left))
