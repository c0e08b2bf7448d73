"""Every five minutes: brings to an end what was left under way at the PACS."""

from functools import cache
from typing import Any

from dicom_service.log import get_logger
from dicom_service.worklist.opening import open_pacs_worklist
from dicom_service.worklist.pacs_worklist import PacsWorklist

logger = get_logger()


@cache
def worklist() -> PacsWorklist:
    return open_pacs_worklist()


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    settled = worklist().settle()
    counts = {"done": settled.done, "left": settled.left}
    logger.info("settled workitems", extra=counts)
    return counts
