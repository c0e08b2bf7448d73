"""Every five minutes: recovers the changes that were interrupted at the PACS."""

from typing import Any

from dicom_service.log import get_logger
from dicom_service.worklist.dependencies import pacs_worklist

logger = get_logger()


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    recovered = pacs_worklist().recover()
    counts = {"done": recovered.done, "left": recovered.left}
    logger.info("recovered workitems", extra=counts)
    return counts
