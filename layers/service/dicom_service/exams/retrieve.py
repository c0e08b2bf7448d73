"""Gives an instance back as the file it is: in the answer where it fits, else by a link to the cache bucket."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from dicom_service import aws
from dicom_service.errors import NotFound
from dicom_service.exams.scope import Scope
from dicom_service.pacs import pacs_errors
from dicom_service.settings import setting
from dicomweb.client import DicomwebClient

# Lambda answers with 6 MB at most, and base64 makes four bytes of three.
LARGEST_ANSWER = 4_500_000
# A link goes on opening the file after its token was revoked, so it lives just long enough to be followed.
LINK_LIVES = 60
_PART = 8 * 1024 * 1024
# Gives what is kept beside a file, of its first bytes.
Label = Callable[[bytes], str]
_NO_INSTANCE = "The PACS has no such instance in this series."


@dataclass(frozen=True)
class CacheSettings:
    """Where retrieved files and pictures are kept for a while."""

    bucket: str = setting("CACHE_BUCKET")


@dataclass(frozen=True)
class InstanceName:
    """The three UIDs that name an instance, already checked."""

    study_uid: str
    series_uid: str
    instance_uid: str

    @property
    def file_name(self) -> str:
        """Name under which the file is saved."""
        return f"{self.instance_uid}.dcm"

    @property
    def folder(self) -> str:
        """Where the cache bucket has what belongs to the file."""
        return f"instances/{self.study_uid}/{self.series_uid}/{self.instance_uid}/"

    @property
    def key(self) -> str:
        """Key of the file in the cache bucket; it exists only when the file is whole."""
        return self.folder + self.file_name


@dataclass(frozen=True)
class Retrieved:
    """A file: its bytes, or the link to fetch it by."""

    content: bytes | None
    link: str | None = None


def retrieve_file(
    client: DicomwebClient, name: InstanceName, cache: CacheSettings, scope: Scope, label: Label
) -> Retrieved:
    """Fetch an instance from the PACS, unchanged.

    No more than one part of 8 MB is in memory, whatever the instance's size. Where the answer of the PACS breaks off,
    nothing half-fetched is left behind.

    Parameters
    ----------
    scope
        Compares whose the file is before any of it is given out.
    label
        Says what is kept beside the file in the cache bucket.
    """
    with pacs_errors(_NO_INSTANCE), client.retrieve_instance(*_uids(name)) as stream:
        pieces = stream.iter_bytes(_PART)
        head = next(pieces, b"")
        scope.see_file(head)
        # Only the last piece is shorter than a part, so a short first one is the whole file.
        if len(head) <= LARGEST_ANSWER:
            return Retrieved(head)
        told, parts = label(head), chain((head,), pieces)
        del head  # or the first part would stay in memory until the last is sent
        _stream_to_cache(cache.bucket, name.key, parts, told)
    return Retrieved(None, link_to(name, cache))


def fetch_to_cache(client: DicomwebClient, name: InstanceName, cache: CacheSettings, label: Label) -> None:
    """Fetch an instance from the PACS into the cache bucket, whatever its size; memory as in `retrieve_file`."""
    with pacs_errors(_NO_INSTANCE), client.retrieve_instance(*_uids(name)) as stream:
        pieces = stream.iter_bytes(_PART)
        head = next(pieces, b"")
        told, parts = label(head), chain((head,), pieces)
        del head
        _stream_to_cache(cache.bucket, name.key, parts, told)


def confirm(client: DicomwebClient, name: InstanceName, scope: Scope) -> None:
    """Ask the PACS by a search, which is cheap for any size, whether it has the instance.

    Raises
    ------
    NotFound
        It does not.
    PacsError
        The PACS cannot be asked.
    """
    study, series, instance = _uids(name)
    with pacs_errors(_NO_INSTANCE):
        found = client.search_for_instances(
            study, series, {"SOPInstanceUID": instance}, limit=1, includefields=scope.fields
        ).datasets
    if not found:
        raise NotFound(_NO_INSTANCE)
    scope.see(found)


def link_to(name: InstanceName, cache: CacheSettings) -> str:
    """Give a URL that gives the cached file to whoever has it, for as long as `LINK_LIVES` seconds."""
    parameters = {
        "Bucket": cache.bucket,
        "Key": name.key,
        "ResponseContentDisposition": f'attachment; filename="{name.file_name}"',
    }
    return aws.s3().generate_presigned_url("get_object", Params=parameters, ExpiresIn=LINK_LIVES)


def _uids(name: InstanceName) -> tuple[str, str, str]:
    return name.study_uid, name.series_uid, name.instance_uid


@aws.errors("The file cannot be handed over at the moment; try again.")
def _stream_to_cache(bucket: str, key: str, pieces: Iterator[bytes], label: str) -> None:
    upload_id = aws.s3().create_multipart_upload(
        Bucket=bucket, Key=key, ContentType="application/dicom", Metadata={"patient": label}
    )["UploadId"]
    done = False
    try:
        parts: list[Any] = [_part(bucket, key, upload_id, number, piece) for number, piece in enumerate(pieces, 1)]
        aws.s3().complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts})
        done = True
    finally:
        if not done:
            aws.s3().abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)


def _part(bucket: str, key: str, upload_id: str, number: int, body: bytes) -> dict[str, Any]:
    part = aws.s3().upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=body)
    return {"PartNumber": number, "ETag": part["ETag"]}
