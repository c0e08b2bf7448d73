"""Files of instances in the cache bucket, and the leases of those that are being fetched.

A file lies at ``instances/{study}/{series}/{instance}/{instance}.dcm`` and appears when its multipart upload is
completed, so whatever is found is whole. Beside it, the object ``fetching`` is the lease of the one fetch that is under
way. Both are written with conditions, so of several writers one succeeds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from dicom_service import aws
from dicom_service.settings import setting

LEASE_TIMEOUT = 1000.0
"""Seconds after which an unrenewed lease counts as abandoned: longer than a function lives and a message waits."""

# A URL goes on opening the file after its token was revoked, so it lives just long enough to be followed.
URL_LIFETIME = 60
# The bucket deletes files after a day: one close to it is fetched again rather than linked to in its last moment.
_FRESH_FOR = 23 * 3600.0
_PIECE = 1024 * 1024
_PART = 8 * 1024 * 1024
_NOT_AVAILABLE = "The file cannot be handed over at the moment; try again."


@dataclass(frozen=True)
class CacheSettings:
    """The bucket that keeps retrieved files and thumbnails for a while."""

    bucket: str = setting("CACHE_BUCKET")


@dataclass(frozen=True)
class InstanceName:
    """The three UIDs that name an instance, already checked."""

    study_uid: str
    series_uid: str
    instance_uid: str

    @property
    def uids(self) -> tuple[str, str, str]:
        """StudyInstanceUID, SeriesInstanceUID and SOPInstanceUID, as the PACS's client takes them."""
        return self.study_uid, self.series_uid, self.instance_uid

    @property
    def path(self) -> tuple[str, ...]:
        """The segments of its path below the root of DICOMweb services (PS3.18 Table 10.4.1-1)."""
        return "studies", self.study_uid, "series", self.series_uid, "instances", self.instance_uid

    @property
    def file_name(self) -> str:
        """Name under which a browser saves the file."""
        return f"{self.instance_uid}.dcm"

    @property
    def folder(self) -> str:
        """Prefix in the cache bucket of the file and its lease."""
        return f"instances/{self.study_uid}/{self.series_uid}/{self.instance_uid}/"

    @property
    def key(self) -> str:
        """Key of the file in the cache bucket."""
        return self.folder + self.file_name

    @property
    def lease_key(self) -> str:
        """Key of the lease in the cache bucket."""
        return f"{self.folder}fetching"


@dataclass(frozen=True)
class Lease:
    """The lease on fetching an instance.

    Parameters
    ----------
    etag
        ETag of the object that holds it.
    age
        Seconds since it was taken or renewed.
    """

    etag: str
    age: float

    @property
    def is_active(self) -> bool:
        """Whether its holder may still be fetching; an older lease is free to be taken over."""
        return self.age < LEASE_TIMEOUT


@dataclass(frozen=True)
class CacheEntry:
    """The content of the cache bucket for one instance."""

    has_file: bool = False
    lease: Lease | None = None


class InstanceCache:
    """The instances in the cache bucket and the leases on fetching them.

    Parameters
    ----------
    settings
        The bucket.
    """

    def __init__(self, settings: CacheSettings) -> None:
        self._bucket = settings.bucket

    @aws.errors(_NOT_AVAILABLE)
    def find(self, name: InstanceName) -> CacheEntry:
        """Return what the bucket has of an instance."""
        listed = aws.s3().list_objects_v2(Bucket=self._bucket, Prefix=name.folder)
        now = datetime.now(UTC)
        has_file, lease = False, None
        for found in listed.get("Contents", []):
            age = (now - found["LastModified"]).total_seconds()
            if found["Key"] == name.key:
                has_file = age < _FRESH_FOR
            elif found["Key"] == name.lease_key:
                lease = Lease(found["ETag"], age)
        return CacheEntry(has_file, lease)

    def url(self, name: InstanceName) -> str:
        """Return a URL that opens the cached file to anyone for `URL_LIFETIME` seconds."""
        disposition = f'attachment; filename="{name.file_name}"'
        return aws.presigned_url(self._bucket, name.key, URL_LIFETIME, disposition=disposition)

    def store(self, name: InstanceName, parts: Iterator[bytes], patient_label: str) -> None:
        """Store a file in parts of one size; an error while they are read leaves nothing behind."""
        self._store(name.key, parts, "application/dicom", patient_label)

    @aws.errors(_NOT_AVAILABLE)
    def _store(self, key: str, parts: Iterator[bytes], content_type: str, patient_label: str) -> None:
        s3 = aws.s3()
        target: Any = {"Bucket": self._bucket, "Key": key}
        metadata = {"patient": patient_label}
        upload = s3.create_multipart_upload(**target, ContentType=content_type, Metadata=metadata)
        target["UploadId"] = upload["UploadId"]
        completed = False
        try:
            sent: list[Any] = []
            # Not enumerate: it keeps the part before until it has the next.
            for part in parts:
                number = len(sent) + 1
                etag = s3.upload_part(**target, PartNumber=number, Body=part)["ETag"]
                sent.append({"PartNumber": number, "ETag": etag})
                del part  # before the next one is put together
            s3.complete_multipart_upload(**target, MultipartUpload={"Parts": sent})
            completed = True
        finally:
            if not completed:
                s3.abort_multipart_upload(**target)

    @aws.errors(_NOT_AVAILABLE)
    def open(self, name: InstanceName) -> tuple[int, Iterator[bytes]]:
        """Return the length of a cached file, and its bytes in pieces."""
        found = aws.s3().get_object(Bucket=self._bucket, Key=name.key)
        return found["ContentLength"], found["Body"].iter_chunks(_PIECE)

    def store_framed(self, name: InstanceName, pieces: Iterator[bytes], framed: tuple[bytes, bytes, str]) -> str:
        """Store a cached file once more, inside a multipart body; return a URL that opens it, as `url` does.

        Parameters
        ----------
        pieces
            The file.
        framed
            What comes before it and behind it, and the Content-Type of the whole.
        """
        before, behind, content_type = framed
        key = f"{name.folder}{name.instance_uid}.multipart"
        parts = _in_parts(chain((before,), pieces, (behind,)))
        self._store(key, parts, content_type, self.patient_label(name))
        return aws.presigned_url(self._bucket, key, URL_LIFETIME)

    @aws.errors(_NOT_AVAILABLE)
    def store_document(self, name: InstanceName, document: bytes, patient_label: str) -> str:
        """Store the PDF that an instance holds; return a URL that shows it, as `url` does."""
        key, metadata = f"{name.folder}{name.instance_uid}.pdf", {"patient": patient_label}
        aws.s3().put_object(
            Bucket=self._bucket, Key=key, Body=document, ContentType="application/pdf", Metadata=metadata
        )
        return aws.presigned_url(self._bucket, key, URL_LIFETIME, disposition='inline; filename="report.pdf"')

    @aws.errors(_NOT_AVAILABLE)
    def patient_label(self, name: InstanceName) -> str:
        """Return the label of the patient that was stored with the file; empty when there was none."""
        return aws.s3().head_object(Bucket=self._bucket, Key=name.key)["Metadata"].get("patient", "")

    @aws.errors(_NOT_AVAILABLE)
    def remove(self, name: InstanceName) -> None:
        """Remove the file of an instance."""
        aws.s3().delete_object(Bucket=self._bucket, Key=name.key)

    def lease_text(self, name: InstanceName) -> str:
        """Return the text of the lease, empty when there is no lease."""
        try:
            with aws.errors(_NOT_AVAILABLE):
                return aws.s3().get_object(Bucket=self._bucket, Key=name.lease_key)["Body"].read().decode()
        except aws.Missing:
            return ""

    def lease(self, name: InstanceName, text: str, seen: Lease | None) -> bool:
        """Take or renew the lease if it is still what was seen; return False when another writer was faster."""
        etag = seen.etag if seen else None
        return aws.put_unchanged(self._bucket, name.lease_key, text.encode(), etag, _NOT_AVAILABLE)

    def release(self, name: InstanceName) -> None:
        """Release the lease; one that cannot be removed expires."""
        with aws.tolerated("lease not released"):
            aws.s3().delete_object(Bucket=self._bucket, Key=name.lease_key)


def _in_parts(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Join pieces to parts of one size, the last one shorter."""
    pending = bytearray()
    for piece in pieces:
        pending += piece
        while len(pending) >= _PART:
            yield bytes(memoryview(pending)[:_PART])
            del pending[:_PART]
    if pending:
        yield bytes(pending)
