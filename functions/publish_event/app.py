"""Stream of ExamEvents, and every few minutes: puts new events, and those that the stream gave up, on feed and bus."""

from functools import cache
from typing import Any

from dicom_service.notifications.publish import Publisher, PublishSettings, publish_stream, sweep
from dicom_service.settings import load


@cache
def publisher() -> Publisher:
    return Publisher(load(PublishSettings))


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return publish_stream(publisher(), event) if "Records" in event else sweep(publisher())
