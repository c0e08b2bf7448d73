"""Objects in the staging bucket, the function that brings them to the PACS, and what must be true when it has.

Files of up to a megabyte are in a bucket that keeps versions, as the deployed one does. Larger objects are in one that
does not: MiniStack ignores ``Range`` where a ``VersionId`` is given, so they would be read whole for every block. S3
honours both.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import IO, Any

import boto3

from benchmarks.files import File
from benchmarks.servers import Servers, WorkNotDone, check_registered, function
from dicom_service import aws
from dicom_service.uploads.table import UPLOAD, UploadsTable
from tests.support.template import create_table

BATCH = 100  # messages of one invocation, as template.yaml says
BUCKET, WITHOUT_VERSIONS = "benchmark-staging", "benchmark-staging-large"
FILES_OF_AN_UPLOAD = 1000


class Staged:
    """Objects that were announced by one upload, and the queue messages that tell of them.

    Parameters
    ----------
    files
        What must be in the PACS in the end.
    objects
        Write one object each.
    bucket
        Where they are.
    """

    def __init__(
        self, files: Sequence[File], objects: Sequence[Callable[[IO[bytes]], None]], bucket: str = WITHOUT_VERSIONS
    ) -> None:
        self.files = files
        self.bucket = bucket
        self.upload_id = uuid.uuid4().hex
        self.client = boto3.client("s3")
        self.objects: list[Any] = []
        self.keys = [f"uploads/{self.upload_id}/{place:04d}" for place in range(1, len(objects) + 1)]
        self.messages = [self._put(key, write) for key, write in zip(self.keys, objects, strict=True)]
        now = int(time.time())
        waiting = {key.rpartition("/")[2]: {"name": "file", "size": 0, "state": "waiting"} for key in self.keys}
        upload = {"state": "open", "open": "open", "createdAt": now, "expiresAt": now + 3600, "files": len(waiting)}
        UploadsTable(os.environ["UPLOADS_TABLE"]).create(self.upload_id, upload, waiting)

    def _put(self, key: str, write: Callable[[IO[bytes]], None]) -> dict[str, Any]:
        # By a file, so that this process does not hold a large object.
        with tempfile.TemporaryFile() as file:
            write(file)
            size = file.tell()
            file.seek(0)
            answer = self.client.put_object(Bucket=self.bucket, Key=key, Body=file)
        version = {"VersionId": answer["VersionId"]} if "VersionId" in answer else {}
        self.objects.append({"Key": key, **version})
        return _message(_event(self.bucket, key, size, answer))

    def fetch(self, key: str) -> bytes:
        """Read an object with nothing but the SDK."""
        return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def clear(self) -> None:
        """Delete what is still staged: all of it, where another sender than the function was timed."""
        for each in self.objects:
            self.client.delete_object(Bucket=self.bucket, **each)

    def check_ended(self) -> None:
        """See that the upload is noted as completed, each file as stored, and the bucket emptied.

        Raises
        ------
        WorkNotDone
            It is not: a file that is rejected or put into quarantine takes little time.
        """
        items = {item["file"]: item for item in UploadsTable(os.environ["UPLOADS_TABLE"]).items(self.upload_id)}
        ends = [items[key.rpartition("/")[2]]["state"] for key in self.keys]
        if items[UPLOAD]["state"] != "completed" or set(ends) != {"stored"}:
            raise WorkNotDone(f"the upload is {items[UPLOAD]['state']}, its files are {sorted(set(ends))}")
        left = self.client.list_objects_v2(Bucket=self.bucket, Prefix=f"uploads/{self.upload_id}/")
        if left["KeyCount"]:
            raise WorkNotDone(f"{left['KeyCount']} objects are still staged")


def staged_files(files: Sequence[File]) -> list[Staged]:
    """Stage one object for each file, as a client does that posts a form for each; uploads have 1,000 at most."""
    starts = range(0, len(files), FILES_OF_AN_UPLOAD)
    parts = [files[start : start + FILES_OF_AN_UPLOAD] for start in starts]
    return [Staged(part, [_writer(file.content) for file in part], BUCKET) for part in parts]


def staged_zip(files: Sequence[File]) -> list[Staged]:
    """Stage one ZIP of all files, deflated."""

    def write(target: IO[bytes]) -> None:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for place, file in enumerate(files):
                archive.writestr(f"IM{place}", file.content)
        target.seek(0, os.SEEK_END)

    return [Staged(files, [write])]


def _writer(content: bytes) -> Callable[[IO[bytes]], None]:
    def write(file: IO[bytes]) -> None:
        file.write(content)

    return write


def batches(staged: Iterable[Staged]) -> Iterator[list[dict[str, Any]]]:
    """Give the messages in batches, as full as they may be."""
    for upload in staged:
        for start in range(0, len(upload.messages), BATCH):
            yield upload.messages[start : start + BATCH]


def ingest(staged: Iterable[Staged]) -> None:
    """Run the function on one batch after the other, in this process. The queue: `benchmarks.invocations`."""
    for batch in batches(staged):
        invoke(batch)


def check_ingested(servers: Servers, staged: Sequence[Staged]) -> None:
    """See that PACS, registry and upload agree on what was sent.

    Raises
    ------
    WorkNotDone
        They do not.
    """
    files = [file for upload in staged for file in upload.files]
    servers.check_stored(files)
    check_registered(files)
    for upload in staged:
        upload.check_ended()


def invoke(messages: Sequence[dict[str, Any]]) -> None:
    """Call the function with one batch, and with each ZIP that it hands over the one that unpacks it."""
    _call("ingest_exam", messages)
    # Not a client of its own: to make one takes milliseconds that are not the function's.
    sqs, url = aws.sqs(), os.environ["ZIP_QUEUE_URL"]
    while found := sqs.receive_message(QueueUrl=url).get("Messages"):
        sqs.delete_message(QueueUrl=url, ReceiptHandle=found[0]["ReceiptHandle"])
        _call("unpack_zip", [_message(found[0]["Body"])])


def _call(name: str, messages: Sequence[dict[str, Any]]) -> None:
    class Context:
        def get_remaining_time_in_millis(self) -> int:
            return 900_000

    answer = _function(name).lambda_handler({"Records": list(messages)}, Context())
    if answer["batchItemFailures"]:
        raise WorkNotDone(f"{len(answer['batchItemFailures'])} messages failed")


def ingest_in_child(messages: str) -> int:
    """Ingest in a process of its own, for `table.in_child`."""
    invoke(json.loads(messages))
    return 0


@cache
def _function(name: str) -> Any:
    return function(name)


def _event(bucket: str, key: str, size: int, answer: Mapping[str, Any]) -> str:
    staged = {"key": key, "size": size, "etag": answer["ETag"].strip('"')}
    if "VersionId" in answer:
        staged["version-id"] = answer["VersionId"]
    detail = {"bucket": {"name": bucket}, "object": staged}
    return json.dumps({"source": "aws.s3", "detail": detail})


def _message(body: str) -> dict[str, Any]:
    return {
        "messageId": uuid.uuid4().hex,
        "receiptHandle": "none",
        "body": body,
        "attributes": {"ApproximateReceiveCount": "1"},
    }


def make_stores() -> None:
    """Make what the upload functions use beyond the stores of the exams, and name it in the environment."""
    for name in ("Uploads", "ExamEvents"):
        create_table(aws.dynamodb(), f"{name}Table", name)
    s3 = boto3.client("s3")
    for name in (BUCKET, WITHOUT_VERSIONS):
        s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    os.environ |= {
        "UPLOADS_TABLE": "Uploads",
        "EXAM_EVENTS_TABLE": "ExamEvents",
        "STAGING_BUCKET": BUCKET,
        "INGEST_QUEUE_URL": boto3.client("sqs").create_queue(QueueName="ingest")["QueueUrl"],
        "ZIP_QUEUE_URL": boto3.client("sqs").create_queue(QueueName="zips")["QueueUrl"],
        "PACS_READ_TIMEOUT": "120",
        "PACS_TOTAL_TIMEOUT": "600",
    }
    _function.cache_clear()
