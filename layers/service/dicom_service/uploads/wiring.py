"""Puts together what the upload routes need, from their settings.

What works behind the routes is in `ingest_wiring`: it speaks to the PACS, whose client no route should have to import.
"""

from dicom_service import aws
from dicom_service.settings import load
from dicom_service.uploads.presign import Stage
from dicom_service.uploads.sessions import Uploads
from dicom_service.uploads.settings import UploadSettings
from dicom_service.uploads.table import UploadsTable


def uploads_table(settings: UploadSettings) -> UploadsTable:
    """Give the table of uploads."""
    return UploadsTable(settings.table, keep_days=settings.keep_days)


def uploads() -> Uploads:
    """Give what the HTTP routes need.

    Raises
    ------
    SettingsError
        A setting is missing.
    """
    settings = load(UploadSettings)
    return Uploads(settings, uploads_table(settings), Stage(aws.s3(), settings.bucket))
