"""On a schedule, where enabled: queues checks of exams that the PACS has not reported."""

from typing import Any

from dicom_service.notifications.dependencies import poller


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, int]:
    return {"checks": poller().poll()}
