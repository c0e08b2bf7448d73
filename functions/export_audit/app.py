"""On a schedule: exports the days of the audit that have ended, chained by their hashes."""

from typing import Any

from dicom_service.audit.dependencies import exporter


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return {"days": exporter().run()}
