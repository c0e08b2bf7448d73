"""Queue of checks: announces the exams that are complete."""

from typing import Any

from dicom_service.aws.sqs_worker import Outcome, process_batch
from dicom_service.notifications.dependencies import announce_settings, announcer


def handle(message: Any, attempt: int) -> Outcome:
    return announcer().handle(message, attempt)


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return process_batch(event, announce_settings().queues, handle)
