"""The staging bucket, as far as ingested objects are concerned: reports, quarantine, removal."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dicom_service import aws
from dicom_service.element_walk import StorageError
from dicom_service.errors import Unavailable
from dicom_service.settings import MIB
from dicom_service.uploads.settings import QUARANTINE_PREFIX, REPORTS_PREFIX
from dicom_service.uploads.staged_object import StagedObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_BUSY = "The staging bucket does not answer at the moment; try again."
_AT_ONCE = 1000
# A larger object is copied in parts, so that no single request takes long.
_COPIED_AT_ONCE = 256 * MIB


class StagingBucket:
    """The staging bucket, as far as ingested objects are concerned.

    Parameters
    ----------
    client
        The S3 client.
    """

    def __init__(self, client: "S3Client") -> None:
        self._client = client

    @aws.errors(_BUSY)
    def report(self, staged: StagedObject, report: Mapping[str, Any]) -> None:
        """Write the report of an object to ``reports/<where it is filed>.json``."""
        named = {"key": staged.key, "etag": staged.etag, "versionId": staged.version_id, "size": staged.size}
        body = json.dumps({**named, **report}, indent=1, ensure_ascii=False).encode()
        self._client.put_object(
            Bucket=staged.bucket,
            Key=f"{REPORTS_PREFIX}{staged.filed}.json",
            Body=body,
            ContentType="application/json",
        )

    def quarantine(self, staged: StagedObject, version_id: str | None, reason: str, detail: str) -> None:
        """Copy an object to ``quarantine/`` with the reason in its metadata; one that is gone is passed over."""
        source: Any = {"Bucket": staged.bucket, "Key": staged.key}
        if version_id:
            source["VersionId"] = version_id
        where: Any = {"Bucket": staged.bucket, "Key": f"{QUARANTINE_PREFIX}{staged.filed}", "CopySource": source}
        how: Any = {
            "CopySourceIfMatch": f'"{staged.etag}"',
            "MetadataDirective": "REPLACE",
            "Metadata": {"reason": reason, "detail": detail},
            "ContentType": "application/octet-stream",
        }
        with suppress(aws.Missing, aws.ConditionFailed), aws.errors(_BUSY):
            if staged.size > _COPIED_AT_ONCE:
                self._client.copy(**where, ExtraArgs=how)
            else:
                self._client.copy_object(**where, **how)

    def remove(self, objects: Iterable[tuple[StagedObject, str | None]]) -> list[str]:
        """Delete exactly these versions, and return them: what was put under a key since then stays."""
        by_bucket: dict[str, list[Any]] = {}
        removed = []
        for staged, known in objects:
            version_id = known or find_version(self._client, staged)
            if not version_id:
                continue
            removed.append(version_id)
            if staged.key.isprintable():
                by_bucket.setdefault(staged.bucket, []).append({"Key": staged.key, "VersionId": version_id})
            else:
                # XML, in which several are deleted at once, has no control characters.
                self._delete_one(staged, version_id)
        for bucket, keys in by_bucket.items():
            for start in range(0, len(keys), _AT_ONCE):
                self._delete(bucket, keys[start : start + _AT_ONCE])
        return removed

    @aws.errors(_BUSY)
    def _delete_one(self, staged: StagedObject, version_id: str) -> None:
        self._client.delete_object(Bucket=staged.bucket, Key=staged.key, VersionId=version_id)

    @aws.errors(_BUSY)
    def _delete(self, bucket: str, keys: list[Any]) -> None:
        answer = self._client.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
        gone = {"NoSuchKey", "NoSuchVersion", "PreconditionFailed"}
        if any(error.get("Code") not in gone for error in answer.get("Errors", [])):
            raise Unavailable(_BUSY)


def find_version(client: "S3Client", staged: "StagedObject") -> str | None:
    """Find the version that has the object's ETag, where its event did not name it and the key was written again.

    Raises
    ------
    StorageError
        S3 fails.
    """
    try:
        with aws.errors("The versions cannot be listed."):
            listing = client.list_object_versions(Bucket=staged.bucket, Prefix=staged.key)
    except aws.AwsError as error:
        raise StorageError("S3 does not list the versions") from error
    for version in listing.get("Versions", []):
        if version["Key"] == staged.key and version["ETag"].strip('"') == staged.etag:
            return version["VersionId"]
    return None
