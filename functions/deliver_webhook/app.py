"""Queue of webhooks: delivers one event to one URL."""

from functools import cache
from typing import Any

from dicom_service.aws import Secret
from dicom_service.aws.sqs_worker import Outcome, Queues, process_batch
from dicom_service.notifications.webhooks import Deliverer, WebhookSettings
from dicom_service.settings import load


@cache
def settings() -> WebhookSettings:
    return load(WebhookSettings)


@cache
def deliverer() -> Deliverer:
    return Deliverer(settings(), keys=Secret(settings().keys_arn).value)


def look(message: Any, attempt: int) -> Outcome:
    return deliverer().look(message, attempt)


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return process_batch(event, Queues(settings().queue_url, settings().dead_queue_url), look)
