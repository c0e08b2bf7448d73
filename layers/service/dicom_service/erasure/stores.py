"""Reading every item and every version of an object, and the writes of an erasure, counted by store."""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any

from dicom_service import aws
from dicom_service.errors import Unavailable

REMOVED, BLANKED = "removed", "blanked"
_OBJECTS_AT_ONCE = 1000
_GONE = frozenset({"NoSuchKey", "NoSuchVersion"})


@dataclass(frozen=True)
class Version:
    """One version of an object, or a delete marker."""

    bucket: str
    key: str
    version_id: str
    marker: bool = False


def available(store: str) -> AbstractContextManager[None]:
    """Turn the errors of a store into Unavailable, which asks to run the erasure again."""
    return aws.errors(f"The store {store} is unavailable; run the same erasure again.")


def scan(table: str) -> Iterator[dict[str, Any]]:
    """Yield every item of a table, read consistently."""
    with available(table):
        for page in aws.dynamodb().get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
            yield from map(aws.from_item, page["Items"])


def versions(bucket: str, prefix: str = "") -> Iterator[Version]:
    """Yield every version and every delete marker of a bucket."""
    with available(bucket):
        for page in aws.s3().get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
            for found in page.get("Versions", []):
                yield Version(bucket, found["Key"], found["VersionId"])
            for marker in page.get("DeleteMarkers", []):
                yield Version(bucket, marker["Key"], marker["VersionId"], marker=True)


def unfinished(bucket: str) -> Iterator[tuple[str, str]]:
    """Yield key and id of every multipart upload that was not finished."""
    with available(bucket):
        for page in aws.s3().get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
            for found in page.get("Uploads", []):
                yield found["Key"], found["UploadId"]


def fetch(version: Version, *, head: bool = False) -> Any:
    """Return the answer of S3 for one version, or None where it is gone."""
    named: Any = {"Bucket": version.bucket, "Key": version.key}
    if version.version_id != "null":  # the only one of a bucket without versions
        named["VersionId"] = version.version_id
    with suppress(aws.Missing), available(version.bucket):
        return aws.s3().head_object(**named) if head else aws.s3().get_object(**named)
    return None


class Writer:
    """Makes the changes of an erasure and counts them; a rehearsal only counts.

    Parameters
    ----------
    rehearsal
        Change nothing.
    """

    def __init__(self, *, rehearsal: bool = False) -> None:
        self.rehearsal = rehearsal
        self.counts: dict[str, Counter[str]] = {}
        self._lock = threading.Lock()

    def count(self, store: str, what: str, number: int = 1) -> None:
        """Count a change."""
        with self._lock:
            self.counts.setdefault(store, Counter())[what] += number

    def delete(self, store: str, table: str, keys: Iterable[Mapping[str, Any]]) -> None:
        """Delete items by key."""
        requests = [{"DeleteRequest": {"Key": aws.to_item(key)}} for key in keys]
        self.count(store, REMOVED, len(requests))
        if not self.rehearsal:
            with available(store):
                aws.batch_write(table, requests)

    def update(self, store: str, table: str, key: Mapping[str, Any], values: Mapping[str, Any], *drop: str) -> None:
        """Set some attributes of an item that is there, and drop others."""
        self.count(store, BLANKED)
        if self.rehearsal:
            return
        expression = "SET " + ", ".join(f"#{name} = :{name}" for name in values)
        expression += (" REMOVE " + ", ".join(f"#{name}" for name in drop)) if drop else ""
        change: Any = {
            "TableName": table,
            "Key": aws.to_item(key),
            "UpdateExpression": expression,
            "ConditionExpression": f"attribute_exists(#{next(iter(key))})",
            "ExpressionAttributeNames": {f"#{name}": name for name in (*values, *drop, next(iter(key)))},
            "ExpressionAttributeValues": aws.to_item({f":{name}": value for name, value in values.items()}),
        }
        with suppress(aws.ConditionFailed), available(store):
            aws.patiently(lambda: aws.dynamodb().update_item(**change))

    def remove(self, store: str, found: Sequence[Version]) -> None:
        """Delete exactly these versions and delete markers.

        Raises
        ------
        Unavailable
            The bucket is unavailable.
        """
        self.count(store, REMOVED, len(found))
        if self.rehearsal:
            return
        printable = [version for version in found if version.key.isprintable()]
        for start in range(0, len(printable), _OBJECTS_AT_ONCE):
            chunk = printable[start : start + _OBJECTS_AT_ONCE]
            objects: Any = [{"Key": version.key, "VersionId": version.version_id} for version in chunk]
            with available(store):
                answer = aws.s3().delete_objects(Bucket=chunk[0].bucket, Delete={"Objects": objects, "Quiet": True})
            if any(error.get("Code") not in _GONE for error in answer.get("Errors", [])):
                raise Unavailable(f"The store {store} removed only some; run the same erasure again.")
        for version in (one for one in found if not one.key.isprintable()):
            # XML, in which several are deleted at once, has no control characters.
            with available(store):
                aws.s3().delete_object(Bucket=version.bucket, Key=version.key, VersionId=version.version_id)

    def replace(self, store: str, version: Version, body: bytes, content_type: str) -> None:
        """Put another content in the place of a version, which is deleted."""
        self.count(store, BLANKED)
        if not self.rehearsal:
            with available(store):
                aws.s3().put_object(Bucket=version.bucket, Key=version.key, Body=body, ContentType=content_type)
                aws.s3().delete_object(Bucket=version.bucket, Key=version.key, VersionId=version.version_id)

    def give_up(self, store: str, bucket: str, key: str, upload_id: str) -> None:
        """Abort a multipart upload."""
        self.count(store, REMOVED)
        if not self.rehearsal:
            with available(store):
                aws.s3().abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
