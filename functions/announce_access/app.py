"""Stream of the audit: puts each new access on the bus."""

from typing import Any

from dicom_service.audit.access_events import announce_accesses
from dicom_service.audit.dependencies import event_bus


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return announce_accesses(event, event_bus())
