"""Stream of ExamEvents: puts new events into the feed and on the bus."""

from functools import cache
from typing import Any

from dicom_service.notifications.publish import Publisher, PublishSettings, publish_stream
from dicom_service.settings import load


@cache
def publisher() -> Publisher:
    return Publisher(load(PublishSettings))


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return publish_stream(publisher(), event)
