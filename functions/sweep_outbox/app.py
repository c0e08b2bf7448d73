"""Every few minutes: publishes what the stream has left behind in the outbox."""

from functools import cache
from typing import Any

from dicom_service.notifications.publish import Publisher, PublishSettings, sweep
from dicom_service.settings import load


@cache
def publisher() -> Publisher:
    return Publisher(load(PublishSettings))


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, int]:
    return sweep(publisher())
