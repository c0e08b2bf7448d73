"""Workitems stream: keeps the .wl files that modalities' worklist server reads in step with the worklist."""

from functools import cache
from typing import Any

from dicom_service.worklist.files import WorklistFiles, open_files

BATCH_FAILURES = "batchItemFailures"


@cache
def files() -> WorklistFiles:
    return open_files()


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    failed = files().follow(event["Records"])
    return {BATCH_FAILURES: [{"itemIdentifier": failed}] if failed else []}
