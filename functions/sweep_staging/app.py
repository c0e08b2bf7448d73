"""Every few minutes: queues staged objects whose event never came."""

from typing import Any

from dicom_service.uploads.dependencies import sweep


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return {"objects": sweep().run()}
