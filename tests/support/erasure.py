"""Two patients whose traces are in every store: one is erased, the other stays."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3

from dicom_service import aws
from dicom_service.archive.table import ArchivesTable
from dicom_service.erasure.places import Places
from dicom_service.erasure.run import Receipt, erase
from dicom_service.erasure.subject import Request
from dicom_service.exams.instance_cache import CacheSettings, InstanceName
from dicom_service.exams.patient_scope import patient_label
from dicom_service.notifications.callback import Callbacks, CallbackSettings
from dicom_service.notifications.publish import Publisher, PublishSettings
from dicom_service.otp.store import OtpTables
from dicom_service.outbox import Event, Outbox, OutboxSettings
from dicom_service.patient import Patient
from dicom_service.storing.claims import Claims, ClaimSettings
from dicom_service.thumbnails.cache import ThumbnailCache
from dicom_service.thumbnails.thumbnailer import Thumbnail, ThumbnailRequest
from dicom_service.worklist.dynamodb import DynamoWorklist
from dicom_service.worklist.store import WorkitemStore
from dicomweb.worklist.base import Workitem
from tests.support import otp
from tests.support import uploads as ingest
from tests.support.canary import search
from tests.support.dicom_files import dataset, nested, part10
from tests.support.otp import FakePacs, study
from tests.support.template import create_table
from tests.support.upload_files import zipped

CACHE, WORKLIST = "cache", "worklists"
_OWN = (
    "ArchivesTable",
    "InstancesTable",
    "WorkitemsTable",
    "OtpsTable",
    "AccessTokensTable",
    "OtpSubjectsTable",
    "UidsTable",
)
TABLES = {
    "Exams": "Exams",
    "ExamEvents": "ExamEvents",
    "Uploads": "Uploads",
    "Archives": "ArchivesTable",
    "Instances": "InstancesTable",
    "Workitems": "WorkitemsTable",
    "Otps": "OtpsTable",
    "AccessTokens": "AccessTokensTable",
    "OtpSubjects": "OtpSubjectsTable",
    "Uids": "UidsTable",
}
BUCKETS = {"staging": ingest.BUCKET, "cache": CACHE, "worklist": WORKLIST}
# Where the traces of one patient are.
EVERYWHERE = frozenset(TABLES) - {"Uids"} | {
    "staging uploads/",
    "staging quarantine/",
    "staging reports/",
    "staging drop/",
    "cache instances/",
    "cache archives/",
    "cache dicomweb/",
    "cache thumbnails/",
}


@dataclass(frozen=True)
class Person:
    """A patient and an exam; every value is a word to search for."""

    patient_id: str
    study: str
    name: str
    issuer: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        return (self.patient_id, self.study, self.name)

    @property
    def patient(self) -> Patient:
        return Patient.of(self.patient_id, self.issuer)

    def file(self, number: int = 1, *, deep: int = 0, **changes: bytes | None) -> bytes:
        """An instance; nested `deep` levels it is rejected."""
        values: dict[str, Any] = {
            "SOPInstanceUID": f"{self.study}.{number}".encode(),
            "StudyInstanceUID": self.study.encode(),
            "PatientID": self.patient_id.encode(),
        }
        return part10(dataset(**values | changes) + nested(deep))


ALICE = Person("CANARY-A", "1.2.826.0.1.3680043.10.77.1", "CANARYALICE")
BOB = Person("CANARY-B", "1.2.826.0.1.3680043.10.77.2", "CANARYBOB")


@dataclass
class World:
    """The stores, and what fills them."""

    ingest: ingest.World
    otp: otp.Harness
    places: Places
    codes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def fill(self, person: Person) -> None:
        """Leave the traces of a patient in every store."""
        self.register(person)
        self.share(person)
        self.stage(person)
        self.keep(person)
        self.publish()

    def register(self, person: Person) -> None:
        """Workitem, callback, claims, events of an exam."""
        fields = {"PatientID": person.patient_id, "PatientName": person.name, "AccessionNumber": f"A-{person.name}"}
        fields |= {"ScheduledStationAETitle": "CT1", "Modality": "CT"}
        fields |= {"ScheduledProcedureStepStartDate": "20260101", "ScheduledProcedureStepStartTime": "1000"}
        store = WorkitemStore(self.places.workitems, Outbox(OutboxSettings(self.places.events)))
        DynamoWorklist(store).create(Workitem(person.study, f"{person.study}.9", fields, "SCHEDULED"))
        body = {"SourceID": "PACS", "StudyInstanceUID": person.study, "PatientID": person.patient_id}
        settings = CallbackSettings(self.places.exams, self.ingest.exam_settings.checks_queue_url)
        Callbacks(settings).take({**body, "PatientName": person.name, "ReferringPhysicianName": person.name})
        claims = Claims(ClaimSettings(self.places.instances, self.places.exams), lease=60)
        claims.make([claims.wanted(f"{person.study}.1", person.study, "digest")])
        claims.claim_study(person.study, person.patient)
        detail = {"StudyInstanceUID": person.study, "PatientID": person.patient_id, "AccessionNumber": "A"}
        Outbox(OutboxSettings(self.places.events)).write([Event("Exam Uploaded", detail)])

    def share(self, person: Person) -> None:
        """A code, redeemed, for the exam."""
        self.otp.pacs = FakePacs(study(person.study, person.patient_id))
        issued = self.otp.issue(study_uid=person.study, patient_id=person.patient_id, user=person.name)
        self.codes[person.patient_id] = {**issued, **self.otp.redeem(issued)}

    def stage(self, person: Person) -> None:
        """An upload of a good file, a rejected one, a ZIP with one of each and a note; dropped ones; one under way."""
        mixed = zipped({f"{person.name}/1": person.file(3), f"{person.name}/2": person.file(4, deep=80)})
        contents = [person.file(1), person.file(2, deep=80), mixed, f"to {person.name}, no DICOM".encode()]
        upload_id = self.ingest.open(contents)
        names = {f"{number:04d}": f"{person.name}-{number}.dcm" for number in range(1, 5)}
        for file, name in names.items():
            aws.dynamodb().update_item(
                TableName=self.places.uploads,
                Key=aws.to_item({"uploadId": upload_id, "file": file}),
                UpdateExpression="SET #name = :name",
                ExpressionAttributeNames={"#name": "name"},
                ExpressionAttributeValues=aws.to_item({":name": name}),
            )
        self.ingest.put(f"drop/{person.name}.dcm", person.file(5, deep=80))
        self.ingest.put(f"drop/{person.name}.zip", zipped({person.name: person.file(6)}))
        events = self.ingest.events(f"uploads/{upload_id}/") + self.ingest.events(f"drop/{person.name}")
        assert len(events) == 6
        assert self.ingest.deliver(events) == []
        self.ingest.open([person.file(7)])
        self.ingest.put(f"drop/{person.name}-late.dcm", person.file(8))
        self.ingest.s3.delete_object(Bucket=ingest.BUCKET, Key=f"drop/{person.name}-late.dcm")

    def keep(self, person: Person) -> None:
        """A file and a picture in the cache, and a worklist file in two versions."""
        name = InstanceName(person.study, f"{person.study}.0", f"{person.study}.1")
        label = patient_label(person.patient, self.otp.hasher)
        self.ingest.s3.put_object(Bucket=CACHE, Key=name.key, Body=person.file(), Metadata={"patient": label})
        archives = ArchivesTable(self.places.archives)
        assert archives.begin(person.study, "ab" * 15, "service", None)
        archive = archives.claim(person.study, "ab" * 15, "owner")
        assert archive is not None
        archives.finish(archive, "owner", size=1, total=1, patient=label)
        self.ingest.s3.put_object(Bucket=CACHE, Key=archive.key, Body=person.file())
        kept = f"dicomweb/{person.study}/revision/metadata/study"
        self.ingest.s3.put_object(Bucket=CACHE, Key=kept, Body=person.file(), Metadata={"patient": label})
        pictures = ThumbnailCache(CacheSettings(CACHE), lambda: self.otp.hasher)
        pictures.store(name, ThumbnailRequest(64, "image/png"), Thumbnail(b"png", "image/png", "frame"), person.patient)
        for content in (b"first", person.file()):
            self.ingest.s3.put_object(Bucket=WORKLIST, Key=f"wl/{person.study}.wl", Body=content)

    def publish(self) -> None:
        """Bring what waits in the outbox into the feed."""
        publisher = Publisher(PublishSettings(self.places.events, "default"))
        assert not publisher.publish(publisher.leftovers(-5))

    def erase(self, request: Request, *, rehearsal: bool = False, clock: Callable[[], float] = time.time) -> Receipt:
        hasher = self.otp.hasher
        return erase(self.places, request, hasher, by="tester", stack="test", rehearsal=rehearsal, clock=clock)

    def found(self, person: Person) -> dict[str, set[str]]:
        """Where words of a patient, or what the patient is hashed to, are."""
        words = (*person.words, self.otp.hasher.hash(person.patient).split(".")[1])
        return search(aws.dynamodb(), aws.s3(), TABLES, BUCKETS, words)


def world_of(ingest_world: ingest.World) -> World:
    """Make the stores that the world of the uploads does not have."""
    for name in _OWN:
        create_table(aws.dynamodb(), name)
    region: Any = {"LocationConstraint": "eu-south-1"}
    for bucket in (CACHE, WORKLIST):
        aws.s3().create_bucket(Bucket=bucket, CreateBucketConfiguration=region)
    aws.s3().put_bucket_versioning(Bucket=WORKLIST, VersioningConfiguration={"Status": "Enabled"})
    keys = otp.master_secret("patients")
    tables = OtpTables("OtpsTable", "AccessTokensTable", "ExamEvents", "OtpSubjectsTable")
    world = otp.Harness(tables, otp.keyring(otp.master_secret("master")), otp.keyring(keys))
    places = Places(
        exams="Exams",
        events="ExamEvents",
        instances="InstancesTable",
        workitems="WorkitemsTable",
        uploads="Uploads",
        archives="ArchivesTable",
        otps=tables.otps,
        access_tokens=tables.access_tokens,
        subjects=tables.subjects,
        staging=ingest.BUCKET,
        cache=CACHE,
        patient_keys=keys,
        worklist_files=f"s3://{WORKLIST}/wl",
        queues={"checks": boto3.client("sqs").get_queue_url(QueueName="checks")["QueueUrl"]},
    )
    return World(ingest_world, world, places)
