"""Queue of webhooks: delivers one event to one URL."""

from typing import Any

from dicom_service.aws.sqs_worker import Outcome, process_batch
from dicom_service.notifications.dependencies import deliverer, webhook_settings


def handle(message: Any, attempt: int) -> Outcome:
    return deliverer().deliver(message, attempt)


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return process_batch(event, webhook_settings().queues, handle)
