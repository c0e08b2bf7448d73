"""Settings of the upload functions, and the limits that the contract names (api.md, "Exams")."""

from dataclasses import dataclass

from dicom_service.element_walk import MAX_DEPTH
from dicom_service.settings import setting

MIB = 1024 * 1024
# Up to here one presigned POST takes the file; above, a multipart upload whose parts can be sent again one by one.
SINGLE_POST_LIMIT = 64 * MIB
PART_SIZE = 64 * MIB
LARGEST_FILE = 5 * 1024 * MIB
MOST_FILES = 1000
# The answer of POST /uploads holds a URL for each part and must stay below Lambda's 6 MB; with the credentials of a
# role a URL has up to 1.9 kB.
MOST_URLS = 2600

QUARANTINE_PREFIX = "quarantine/"
REPORTS_PREFIX = "reports/"


def _at_most_an_hour(text: str) -> int:
    seconds = int(text)
    if not 60 <= seconds <= 3600:
        raise ValueError("not from 60 to 3600")
    return seconds


@dataclass(frozen=True)
class UploadSettings:
    """Where uploads are staged and for how long their URLs hold."""

    table: str = setting("UPLOADS_TABLE")
    bucket: str = setting("STAGING_BUCKET")
    lifetime: int = setting("UPLOAD_LIFETIME_SECONDS", cast=_at_most_an_hour, default=3600)
    # An upload that was begun in time may still be on its way: after this it expires.
    grace: int = setting("UPLOAD_GRACE_SECONDS", cast=int, default=900)
    # Days for which GET /uploads/{id} answers.
    keep_days: int = setting("UPLOAD_KEEP_DAYS", cast=int, default=30)


@dataclass(frozen=True)
class IngestSettings:
    """How staged objects are brought to the PACS."""

    # Connections of one invocation; times the queues' MaximumConcurrency this is what the PACS sees at most.
    connections: int = setting("INGEST_CONNECTIONS", cast=int, default=4)
    batch_parts: int = setting("INGEST_BATCH_PARTS", cast=int, default=20)
    batch_bytes: int = setting("INGEST_BATCH_BYTES", cast=int, default=32 * MIB)
    max_inflated: int = setting("INGEST_MAX_INFLATED_BYTES", cast=int, default=256 * MIB)
    zip_entries: int = setting("INGEST_ZIP_ENTRIES", cast=int, default=20_000)
    zip_bytes: int = setting("INGEST_ZIP_BYTES", cast=int, default=20 * 1024 * MIB)
    zip_ratio: int = setting("INGEST_ZIP_RATIO", cast=int, default=200)
    max_depth: int = setting("MAX_SEQUENCE_DEPTH", cast=int, default=MAX_DEPTH)
    # Disk for ZIPs in ZIPs and for large files of ZIPs, below the function's EphemeralStorage.
    spool_bytes: int = setting("INGEST_SPOOL_BYTES", cast=int, default=9 * 1024 * MIB)


@dataclass(frozen=True)
class IngestQueueSettings:
    """The queue of staged objects."""

    url: str = setting("INGEST_QUEUE_URL")


@dataclass(frozen=True)
class SweepSettings:
    """When a staged object is taken for one whose event never came."""

    late: int = setting("STAGED_LATE_SECONDS", cast=int, default=900)


@dataclass(frozen=True)
class ZipQueueSettings:
    """The queue of staged objects that are ZIPs."""

    url: str = setting("ZIP_QUEUE_URL")
