"""The objects of this package, wired from the settings once per process."""

from functools import cache
from typing import TYPE_CHECKING

from dicom_service import aws
from dicom_service.dependencies import pacs
from dicom_service.exams.dependencies import registry
from dicom_service.settings import load
from dicom_service.storing.dependencies import admission
from dicom_service.uploads.dependencies import outcomes, table

if TYPE_CHECKING:
    from dicom_service.audit.arrivals import Arrivals
    from dicom_service.ingest.batch import Ingest
    from dicom_service.ingest.ingest_queue import IngestQueue

# Lease of a claim: the timeout of the ingest and a little more, so that it hardly outlives its writer.
CLAIM_LEASE = 960


@cache
def arrivals() -> "Arrivals":
    """Return what records that instances have arrived."""
    from dicom_service.audit.arrivals import Arrivals
    from dicom_service.audit.dependencies import recorder

    return Arrivals(table(), registry(), recorder)


@cache
def ingest() -> "Ingest":
    """Return what brings staged objects to the PACS, and hands ZIPs over to their own queue."""
    from dicom_service.ingest.ingest_queue import IngestQueue
    from dicom_service.ingest.settings import ZipQueueSettings
    from dicom_service.uploads.settings import IngestQueueSettings

    return _ingest(IngestQueue(load(IngestQueueSettings).url), zip_queue=IngestQueue(load(ZipQueueSettings).url))


@cache
def zip_ingest() -> "Ingest":
    """Return what brings the ZIPs to the PACS that were handed over."""
    from dicom_service.ingest.ingest_queue import IngestQueue
    from dicom_service.ingest.settings import ZipQueueSettings

    return _ingest(IngestQueue(load(ZipQueueSettings).url), zip_queue=None)


def _ingest(queue: "IngestQueue", zip_queue: "IngestQueue | None") -> "Ingest":
    from dicom_service.ingest.batch import Ingest
    from dicom_service.ingest.sender import Sender
    from dicom_service.ingest.settings import IngestSettings

    return Ingest(
        load(IngestSettings),
        client=aws.s3(),
        table=table(),
        arrivals=arrivals(),
        outcomes=outcomes(arrivals()),
        queue=queue,
        zip_queue=zip_queue,
        make_sender=lambda: Sender(pacs(), admission(CLAIM_LEASE)),
    )
