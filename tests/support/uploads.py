"""Everything the ingest touches, in one process."""

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import boto3
import pytest

from dicom_service import aws
from dicom_service.audit.arrivals import Arrivals
from dicom_service.audit.dependencies import recorder
from dicom_service.aws.sqs_worker import read_messages
from dicom_service.exams.registry import ExamRegistry, ExamSettings
from dicom_service.ingest.batch import Ingest
from dicom_service.ingest.dependencies import CLAIM_LEASE
from dicom_service.ingest.ingest_queue import IngestQueue
from dicom_service.ingest.sender import Sender
from dicom_service.ingest.settings import IngestSettings
from dicom_service.outbox import Outbox, OutboxSettings
from dicom_service.storing.admission import Admission, AdmissionSettings
from dicom_service.storing.claims import Claims, ClaimSettings
from dicom_service.uploads.expiry import Expiry
from dicom_service.uploads.presigned_uploads import PresignedUploads
from dicom_service.uploads.settings import UploadSettings
from dicom_service.uploads.staging_bucket import StagingBucket
from dicom_service.uploads.stored_or_rejected import Outcomes
from dicom_service.uploads.table import UploadsTable
from dicom_service.uploads.upload_service import Announced, UploadService
from tests.support import cloud as clouds
from tests.support.memory_pacs import MemoryPacs

BUCKET = "staging"
URL = "https://api.example/v1"


class ZipMessage(str):
    """The body of a message of the ZIP queue."""


@dataclass(frozen=True)
class Queues:
    """URLs of the queues: of staged objects, and of the ZIPs among them."""

    staged: str
    zips: str


@dataclass
class World:
    """The service's stores, a PACS, and queues whose deliveries the test decides."""

    upload_settings: UploadSettings
    ingest_settings: IngestSettings
    exam_settings: ExamSettings
    queues: Queues
    pacs: MemoryPacs = field(default_factory=MemoryPacs)
    now: float = 1_800_000_000.0
    delivered: Counter[tuple[type[str], str]] = field(default_factory=Counter)
    zips: list[ZipMessage] = field(default_factory=list)
    """Messages of the ZIP queue that were not delivered yet."""
    reads_from: Any = None
    """The S3 client of the ingest, where it is not to be one that works."""
    claims: bool = False
    """Whether files are claimed before they are sent, as they are when deployed; otherwise all are sent."""

    @contextmanager
    def bytes_read(self) -> Iterator[list[int]]:
        """Collect the lengths of what is read from S3."""
        lengths: list[int] = []

        def note(parsed: Any, **_: Any) -> None:
            lengths.append(parsed["ContentLength"])

        self.s3.meta.events.register("after-call.s3.GetObject", note)
        try:
            yield lengths
        finally:
            self.s3.meta.events.unregister("after-call.s3.GetObject", note)

    @property
    def s3(self) -> Any:
        return aws.s3()

    def table(self) -> UploadsTable:
        return UploadsTable(self.upload_settings.table, clock=lambda: self.now)

    def registry(self) -> ExamRegistry:
        return ExamRegistry(self.exam_settings)

    def arrivals(self) -> Arrivals:
        return Arrivals(self.table(), self.registry(), recorder)

    def outcomes(self) -> Outcomes:
        outbox = Outbox(OutboxSettings("ExamEvents"))
        return Outcomes(self.table(), self.registry(), outbox, StagingBucket(self.s3), self.arrivals())

    def uploads(self) -> UploadService:
        return UploadService(self.upload_settings, self.table(), PresignedUploads(self.s3, BUCKET))

    def expiry(self) -> Expiry:
        return Expiry(self.upload_settings, self.table(), PresignedUploads(self.s3, BUCKET), self.outcomes())

    def sender(self) -> Sender:
        if not self.claims:
            return Sender(self.pacs)
        return Sender(self.pacs, self.admission())

    def admission(self) -> Admission:
        claims = Claims(ClaimSettings("Instances", "Exams"), lease=CLAIM_LEASE, clock=lambda: self.now)
        return Admission(AdmissionSettings(False, False), self.pacs, claims)

    def ingest(self, **settings: int) -> Ingest:
        """What IngestExamFunction runs."""
        return self._ingest(IngestQueue(self.queues.staged), IngestQueue(self.queues.zips), **settings)

    def zip_ingest(self, **settings: int) -> Ingest:
        """What UnpackZipFunction runs."""
        return self._ingest(IngestQueue(self.queues.zips), None, **settings)

    def _ingest(self, queue: IngestQueue, zip_queue: IngestQueue | None, **settings: int) -> Ingest:
        return Ingest(
            replace(self.ingest_settings, **settings),
            client=self.reads_from or self.s3,
            table=self.table(),
            arrivals=self.arrivals(),
            outcomes=self.outcomes(),
            queue=queue,
            zip_queue=zip_queue,
            make_sender=self.sender,
        )

    def open(self, contents: Sequence[bytes], *, opened_by: Mapping[str, str] | None = None) -> str:
        """Open an upload for these files and stage them; gives its id."""
        files = [Announced(f"file {number}", len(content), None) for number, content in enumerate(contents)]
        upload_id = str(self.uploads().open(files, URL, opened_by)["uploadId"])
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
        """Hand messages to the functions of their queues, in one batch and ZIPs one by one.

        What is handed over on the way is delivered too. Gives the bodies that are to be delivered again.
        """
        staged = [body for body in bodies if not isinstance(body, ZipMessage)]
        self.zips += [body for body in bodies if isinstance(body, ZipMessage)]
        again = self.hand_to(self.ingest(**settings), staged, attempts)
        self.zips += self.handed_over()
        due, self.zips = self.zips, []
        while due:
            try:
                again += self.hand_to(self.zip_ingest(**settings), due[:1], attempts)
            except BaseException:
                # The caller has those that it gave.
                self.zips += [message for message in due if not any(message is body for body in bodies)]
                raise
            due = due[1:]
        self.zips += self.handed_over()
        return again

    def hand_to(self, ingest: Ingest, bodies: Sequence[str], attempts: int | None = None) -> list[str]:
        """Run one function on one batch; gives the bodies that are to be delivered again."""
        records = []
        for body in bodies:
            self.delivered[type(body), body] += 1
            records.append(
                {
                    "messageId": uuid.uuid4().hex,
                    "receiptHandle": "none",
                    "body": str(body),
                    "attributes": {"ApproximateReceiveCount": str(attempts or self.delivered[type(body), body])},
                }
            )
        again = ingest.handle(read_messages({"Records": records}), seconds_left=900) if records else []
        left = {message.message_id for message in again}
        return [body for body, record in zip(bodies, records, strict=True) if record["messageId"] in left]

    def handed_over(self) -> list[ZipMessage]:
        """Take what the functions have sent to the ZIP queue, not through their client, which a test may break."""
        sqs, found = boto3.client("sqs"), []
        while messages := sqs.receive_message(QueueUrl=self.queues.zips, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                sqs.delete_message(QueueUrl=self.queues.zips, ReceiptHandle=message["ReceiptHandle"])
                found.append(ZipMessage(message["Body"]))
        # A new message has not been received before.
        self.delivered -= Counter({(ZipMessage, body): self.delivered[ZipMessage, body] for body in found})
        return found

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
            IngestSettings(connections=2),
            ExamSettings(table="Exams", checks_queue_url=clouds.queue("checks"), quiet_period=0),
            Queues(clouds.queue("ingest"), clouds.queue("zips")),
        )
