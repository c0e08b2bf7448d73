"""Rule of the bus: one message for each URL that is told of an event."""

from functools import cache
from typing import Any

from dicom_service.aws.sqs_worker import Outcome, Queues, process_batch
from dicom_service.notifications.webhooks import FanOutSettings, fan_out
from dicom_service.settings import load


@cache
def settings() -> FanOutSettings:
    return load(FanOutSettings)


def look(message: Any, attempt: int) -> Outcome:
    return fan_out(settings(), message)


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    queues = Queues(settings().events_queue_url, settings().dead_events_queue_url)
    return process_batch(event, queues, look)
