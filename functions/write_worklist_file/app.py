"""Workitems stream: keeps the .wl files of the modalities' worklist server up to date."""

from typing import Any

from dicom_service.worklist.dependencies import worklist_files

BATCH_FAILURES = "batchItemFailures"


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    failed = worklist_files().follow(event["Records"])
    return {BATCH_FAILURES: [{"itemIdentifier": failed}] if failed else []}
