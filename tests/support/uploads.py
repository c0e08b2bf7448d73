"""Everything the ingest touches, in one process."""

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from dicom_service import aws
from dicom_service.aws.sqs_worker import read_messages
from dicom_service.exams.admission import Admission, AdmissionSettings
from dicom_service.exams.claims import Claims, ClaimSettings
from dicom_service.exams.registry import ExamRegistry, ExamSettings
from dicom_service.outbox import Outbox, OutboxSettings
from dicom_service.uploads.dependencies import CLAIM_LEASE
from dicom_service.uploads.expiry import Expiry
from dicom_service.uploads.finalize import Finalizer
from dicom_service.uploads.ingest import Ingest
from dicom_service.uploads.ingest_queue import IngestQueue
from dicom_service.uploads.presigned_uploads import PresignedUploads
from dicom_service.uploads.sender import Sender
from dicom_service.uploads.settings import IngestSettings, UploadSettings
from dicom_service.uploads.staging_bucket import StagingBucket
from dicom_service.uploads.table import UploadsTable
from dicom_service.uploads.upload_service import Announced, UploadService
from tests.support import cloud as clouds
from tests.support.memory_pacs import MemoryPacs

BUCKET = "staging"
URL = "https://api.example/v1"


@dataclass
class World:
    """The service's stores, a PACS, and a queue whose deliveries the test decides."""

    upload_settings: UploadSettings
    ingest_settings: IngestSettings
    exam_settings: ExamSettings
    pacs: MemoryPacs = field(default_factory=MemoryPacs)
    now: float = 1_800_000_000.0
    delivered: Counter[str] = field(default_factory=Counter)
    handed_on: list[str] = field(default_factory=list)
    reads_from: Any = None
    """The S3 client of the ingest, where it is not to be one that works."""
    claims: bool = False
    """Whether files are claimed before they are sent, as they are when deployed; otherwise all are sent."""

    @property
    def s3(self) -> Any:
        return aws.s3()

    def table(self) -> UploadsTable:
        return UploadsTable(self.upload_settings.table, clock=lambda: self.now)

    def registry(self) -> ExamRegistry:
        return ExamRegistry(self.exam_settings)

    def finalizer(self) -> Finalizer:
        return Finalizer(self.table(), self.registry(), Outbox(OutboxSettings("ExamEvents")), StagingBucket(self.s3))

    def uploads(self) -> UploadService:
        return UploadService(self.upload_settings, self.table(), PresignedUploads(self.s3, BUCKET))

    def expiry(self) -> Expiry:
        return Expiry(self.upload_settings, self.table(), PresignedUploads(self.s3, BUCKET), self.finalizer())

    def sender(self) -> Sender:
        if not self.claims:
            return Sender(self.pacs)
        claims = Claims(ClaimSettings("Instances", "Exams"), lease=CLAIM_LEASE, clock=lambda: self.now)
        return Sender(self.pacs, Admission(AdmissionSettings(False, False), self.pacs, claims))

    def ingest(self, **settings: int) -> Ingest:
        return Ingest(
            replace(self.ingest_settings, **settings),  # type: ignore[arg-type]
            client=self.reads_from or self.s3,
            table=self.table(),
            registry=self.registry(),
            finalizer=self.finalizer(),
            queue=IngestQueue(self.ingest_settings.queue_url),
            make_sender=self.sender,
        )

    def open(self, contents: Sequence[bytes], **members: str) -> str:
        """Open an upload for these files and stage them; gives its id."""
        files = [Announced(f"file {number}", len(content), None) for number, content in enumerate(contents)]
        upload_id = str(self.uploads().open(files, URL)["uploadId"])
        for number, content in enumerate(contents, start=1):
            self.put(f"uploads/{upload_id}/{number:04d}", content)
        return upload_id

    def put(self, key: str, content: bytes) -> dict[str, Any]:
        answer: dict[str, Any] = self.s3.put_object(Bucket=BUCKET, Key=key, Body=content)
        return answer

    def events(self, prefix: str, *, versions: bool = True) -> list[str]:
        """The bodies of the messages that S3 sends for all objects under a prefix."""
        listed = self.s3.list_object_versions(Bucket=BUCKET, Prefix=prefix).get("Versions", [])
        return [event_body(entry, with_version=versions) for entry in listed]

    def deliver(self, bodies: Sequence[str], *, attempts: int | None = None, **settings: int) -> list[str]:
        """Hand the messages to the function; gives the bodies that are to be delivered again."""
        records = []
        for body in bodies:
            self.delivered[body] += 1
            count = attempts or self.delivered[body]
            records.append(
                {
                    "messageId": uuid.uuid4().hex,
                    "receiptHandle": "none",
                    "body": body,
                    "attributes": {"ApproximateReceiveCount": str(count)},
                }
            )
        again = self.ingest(**settings).handle(read_messages({"Records": records}), seconds_left=900)
        left = {message.message_id for message in again}
        return [str(record["body"]) for record in records if record["messageId"] in left]

    def progress(self, upload_id: str) -> dict[str, Any]:
        return self.uploads().progress(upload_id)

    def keys(self, prefix: str = "") -> list[str]:
        listed = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [entry["Key"] for entry in listed]

    def report(self, key: str) -> dict[str, Any]:
        body = self.s3.get_object(Bucket=BUCKET, Key=f"reports/{filed(key)}.json")["Body"].read()
        report: dict[str, Any] = json.loads(body)
        return report

    def registered(self) -> list[str]:
        """SOP Instance UIDs in the registry of exams."""
        items = [aws.from_item(item) for item in aws.dynamodb().scan(TableName="Exams")["Items"]]
        return sorted(item["SOPInstanceUID"] for item in items if not item["SOPInstanceUID"].startswith("#"))

    def counted(self) -> int:
        """What the registry says of all exams together."""
        items = [aws.from_item(item) for item in aws.dynamodb().scan(TableName="Exams")["Items"]]
        return sum(int(item.get("instances", 0)) for item in items if item["SOPInstanceUID"] == "#study")

    def claimed(self) -> list[str]:
        """SOP Instance UIDs that are claimed."""
        items = [aws.from_item(item) for item in aws.dynamodb().scan(TableName="Instances")["Items"]]
        return sorted(item["SOPInstanceUID"] for item in items if not item["SOPInstanceUID"].startswith("#"))

    def told(self) -> list[dict[str, Any]]:
        """The events in the outbox."""
        items = [aws.from_item(item) for item in aws.dynamodb().scan(TableName="ExamEvents")["Items"]]
        return [{**item, "detail": json.loads(item["detail"])} for item in items]


def filed(key: str) -> str:
    """Where a dropped key's report and its copy in quarantine lie, as who dropped it computes it."""
    return f"drop/{hashlib.sha256(key.encode()).hexdigest()}"


def event_body(entry: Any, *, with_version: bool = True) -> str:
    named = {"key": entry["Key"], "size": entry["Size"], "etag": entry["ETag"].strip('"')}
    if with_version:
        named["version-id"] = entry["VersionId"]
    return json.dumps({"source": "aws.s3", "detail": {"bucket": {"name": BUCKET}, "object": named}})


@contextmanager
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An empty cloud with everything that the ingest touches."""
    with clouds.cloud(monkeypatch, {f"{name}Table": name for name in ("Uploads", "Exams", "ExamEvents", "Instances")}):
        clouds.bucket(BUCKET)
        aws.s3().put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield World(
            UploadSettings(table="Uploads", bucket=BUCKET),
            IngestSettings(queue_url=clouds.queue("ingest"), connections=2),
            ExamSettings(table="Exams", checks_queue_url=clouds.queue("checks"), quiet_period=0),
        )
