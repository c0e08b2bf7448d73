"""Settings of the upload functions, and the limits that the contract names (api.md, "Exams")."""

from dataclasses import dataclass

from dicom_service.settings import MIB, setting

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
class IngestQueueSettings:
    """The queue of staged objects."""

    url: str = setting("INGEST_QUEUE_URL")


@dataclass(frozen=True)
class SweepSettings:
    """When a staged object is taken for one whose event never came."""

    late: int = setting("STAGED_LATE_SECONDS", cast=int, default=900)
