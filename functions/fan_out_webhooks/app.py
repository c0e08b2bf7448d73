"""Events that a rule of the bus has matched: queues one webhook for each URL."""

from typing import Any

from dicom_service.aws.sqs_worker import Outcome, process_batch
from dicom_service.notifications.dependencies import fan_out_settings
from dicom_service.notifications.webhooks import fan_out


def handle(message: Any, attempt: int) -> Outcome:
    return fan_out(fan_out_settings(), message)


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return process_batch(event, fan_out_settings().queues, handle)
