"""The objects of this package, wired from the settings once per process.

What speaks to the PACS is imported by its factory: no route of uploads has to load the client.
"""

from functools import cache
from typing import TYPE_CHECKING

from dicom_service import aws
from dicom_service.dependencies import pacs
from dicom_service.exams.dependencies import admission, registry
from dicom_service.settings import load
from dicom_service.uploads.presigned_uploads import PresignedUploads
from dicom_service.uploads.settings import UploadSettings
from dicom_service.uploads.table import UploadsTable

if TYPE_CHECKING:
    from dicom_service.audit.arrivals import Arrivals
    from dicom_service.uploads.expiry import Expiry
    from dicom_service.uploads.ingest import Ingest
    from dicom_service.uploads.ingest_queue import IngestQueue
    from dicom_service.uploads.outcome import Outcomes
    from dicom_service.uploads.sweep import Sweep
    from dicom_service.uploads.upload_service import UploadService

# Lease of a claim: the timeout of the ingest and a little more, so that it hardly outlives its writer.
CLAIM_LEASE = 960


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


@cache
def arrivals() -> "Arrivals":
    """Return what records that instances have arrived."""
    from dicom_service.audit.arrivals import Arrivals
    from dicom_service.audit.dependencies import recorder

    return Arrivals(table(), registry(), recorder)


def _outcomes(records: "Arrivals | None" = None) -> "Outcomes":
    from dicom_service.outbox import Outbox, OutboxSettings
    from dicom_service.uploads.outcome import Outcomes
    from dicom_service.uploads.staging_bucket import StagingBucket

    return Outcomes(table(), registry(), Outbox(load(OutboxSettings)), StagingBucket(aws.s3()), records)


@cache
def expiry() -> "Expiry":
    """Return what ends overdue uploads."""
    from dicom_service.uploads.expiry import Expiry

    return Expiry(settings(), table(), presigned_uploads(), _outcomes())


@cache
def sweep() -> "Sweep":
    """Return what finds staged objects whose event never came."""
    from dicom_service.uploads.settings import IngestQueueSettings, SweepSettings
    from dicom_service.uploads.sweep import Sweep

    queue, late = load(IngestQueueSettings).url, load(SweepSettings).late
    return Sweep(aws.s3(), settings().bucket, table(), queue, late=late)


@cache
def ingest() -> "Ingest":
    """Return what brings staged objects to the PACS, and hands ZIPs over to their own queue."""
    from dicom_service.uploads.ingest_queue import IngestQueue
    from dicom_service.uploads.settings import IngestQueueSettings, ZipQueueSettings

    return _ingest(IngestQueue(load(IngestQueueSettings).url), zip_queue=IngestQueue(load(ZipQueueSettings).url))


@cache
def zip_ingest() -> "Ingest":
    """Return what brings the ZIPs to the PACS that were handed over."""
    from dicom_service.uploads.ingest_queue import IngestQueue
    from dicom_service.uploads.settings import ZipQueueSettings

    return _ingest(IngestQueue(load(ZipQueueSettings).url), zip_queue=None)


def _ingest(queue: "IngestQueue", zip_queue: "IngestQueue | None") -> "Ingest":
    from dicom_service.uploads.ingest import Ingest
    from dicom_service.uploads.sender import Sender
    from dicom_service.uploads.settings import IngestSettings

    return Ingest(
        load(IngestSettings),
        client=aws.s3(),
        table=table(),
        arrivals=arrivals(),
        outcomes=_outcomes(arrivals()),
        queue=queue,
        zip_queue=zip_queue,
        make_sender=lambda: Sender(pacs(), admission(CLAIM_LEASE)),
    )
