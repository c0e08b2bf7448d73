"""The objects of this package, wired from the settings once per process."""

from functools import cache
from typing import TYPE_CHECKING

from dicom_service import aws
from dicom_service.exams.dependencies import registry
from dicom_service.settings import load
from dicom_service.uploads.presigned_uploads import PresignedUploads
from dicom_service.uploads.settings import UploadSettings
from dicom_service.uploads.table import UploadsTable

if TYPE_CHECKING:
    from dicom_service.audit.arrivals import Arrivals
    from dicom_service.uploads.expiry import Expiry
    from dicom_service.uploads.lost_events import Sweep
    from dicom_service.uploads.stored_or_rejected import Outcomes
    from dicom_service.uploads.upload_service import UploadService


@cache
def settings() -> UploadSettings:
    """Return where uploads are staged, and for how long."""
    return load(UploadSettings)


@cache
def table() -> UploadsTable:
    """Return the Uploads table."""
    return UploadsTable(settings().table, keep_days=settings().keep_days)


@cache
def presigned_uploads() -> PresignedUploads:
    """Return the requests by which clients reach the staging bucket."""
    return PresignedUploads(aws.s3(), settings().bucket)


@cache
def upload_service() -> "UploadService":
    """Return the service behind the routes of ``/uploads``."""
    from dicom_service.uploads.upload_service import UploadService

    return UploadService(settings(), table(), presigned_uploads())


def outcomes(records: "Arrivals | None" = None) -> "Outcomes":
    """Return what does the last steps for files; with what records arrivals, also for those that were stored."""
    from dicom_service.outbox import Outbox, OutboxSettings
    from dicom_service.uploads.staging_bucket import StagingBucket
    from dicom_service.uploads.stored_or_rejected import Outcomes

    return Outcomes(table(), registry(), Outbox(load(OutboxSettings)), StagingBucket(aws.s3()), records)


@cache
def expiry() -> "Expiry":
    """Return what ends overdue uploads."""
    from dicom_service.uploads.expiry import Expiry

    return Expiry(settings(), table(), presigned_uploads(), outcomes())


@cache
def sweep() -> "Sweep":
    """Return what finds staged objects whose event never came."""
    from dicom_service.uploads.lost_events import Sweep
    from dicom_service.uploads.settings import IngestQueueSettings, SweepSettings

    queue, late = load(IngestQueueSettings).url, load(SweepSettings).late
    return Sweep(aws.s3(), settings().bucket, table(), queue, late=late)
