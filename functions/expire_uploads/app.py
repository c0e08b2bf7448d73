"""Every few minutes: ends uploads that were not finished in time."""

from functools import cache
from typing import Any

from dicom_service.uploads import ingest_wiring
from dicom_service.uploads.expiry import Expiry


@cache
def expiry() -> Expiry:
    return ingest_wiring.expiry()


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return {"uploads": expiry().run()}
