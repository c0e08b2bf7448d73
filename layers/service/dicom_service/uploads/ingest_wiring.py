"""Puts together what ends uploads: `ingest_exam` and `expire_uploads`, from their settings."""

from dicom_service import aws
from dicom_service.exams.admission import Admission, AdmissionSettings
from dicom_service.exams.claims import Claims, ClaimSettings
from dicom_service.exams.registry import ExamRegistry, ExamSettings
from dicom_service.outbox import Outbox, OutboxSettings
from dicom_service.pacs import connect
from dicom_service.settings import PacsSettings, load
from dicom_service.uploads.ending import Ending
from dicom_service.uploads.expiry import Expiry
from dicom_service.uploads.ingest import Ingest
from dicom_service.uploads.presign import Stage
from dicom_service.uploads.queue import IngestQueue
from dicom_service.uploads.sender import Sender
from dicom_service.uploads.settings import IngestSettings, UploadSettings
from dicom_service.uploads.shelf import Shelf
from dicom_service.uploads.table import UploadsTable
from dicom_service.uploads.wiring import uploads_table

# The function's timeout and a little more: a claim outlives its writer by no more than that.
WRITER_LIVES = 960


def _ending(table: UploadsTable) -> Ending:
    return Ending(table, ExamRegistry(load(ExamSettings)), Outbox(load(OutboxSettings)), Shelf(aws.s3()))


def expiry() -> Expiry:
    """Give what the scheduled function needs.

    Raises
    ------
    SettingsError
        A setting is missing.
    """
    settings = load(UploadSettings)
    table = uploads_table(settings)
    return Expiry(settings, table, Stage(aws.s3(), settings.bucket), _ending(table))


def ingest() -> Ingest:
    """Give what the queue's function needs.

    Raises
    ------
    SettingsError
        A setting is missing.
    """
    settings = load(IngestSettings)
    table = uploads_table(load(UploadSettings))
    pacs = connect(load(PacsSettings))
    admission = Admission(load(AdmissionSettings), pacs, Claims(load(ClaimSettings), lease=WRITER_LIVES))
    return Ingest(
        settings,
        client=aws.s3(),
        table=table,
        register=ExamRegistry(load(ExamSettings)),
        ending=_ending(table),
        queue=IngestQueue(aws.sqs(), settings.queue_url),
        make_sender=lambda: Sender(pacs, admission),
    )
