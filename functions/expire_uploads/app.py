"""Every few minutes: ends uploads that were not finished in time."""

from typing import Any

from dicom_service.uploads.dependencies import expiry


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return {"uploads": expiry().run()}
