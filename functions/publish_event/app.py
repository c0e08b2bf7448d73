"""Publishes new events (stream of ExamEvents) and, every five minutes, those that the stream gave up."""

from typing import Any

from dicom_service.notifications.dependencies import publisher
from dicom_service.notifications.publish import publish_stream, sweep


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return publish_stream(publisher(), event) if "Records" in event else sweep(publisher())
