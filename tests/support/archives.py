"""An exam in a PACS in memory, and what makes an archive of it, in one process."""

import contextlib
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom_service import aws
from dicom_service.archive.build import Builder, BuilderParts
from dicom_service.archive.checkpoint import Checkpoints
from dicom_service.archive.table import Archive, ArchivesTable
from dicom_service.aws.sqs_worker import Outcome
from dicomweb.client import DicomwebClient
from dicomweb.errors import NotFound
from tests.support import cloud as clouds

STUDY = "2.25.77"
CACHE = "cache"
BUILD = "ab" * 15
PDF_BYTES = b"%PDF-1.4\n%%EOF\n"
_PDF = UID("1.2.840.10008.5.1.4.1.1.104.1")


def file_of(dataset: Dataset) -> bytes:
    """The dataset as a file."""
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _placed(dataset: Dataset, series: int, number: int, study: str, patient: str) -> Dataset:
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = UID(study), UID(f"{study}.{series}")
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"{study}.{series}.{number}")
    dataset.SeriesNumber, dataset.InstanceNumber, dataset.PatientID = series, number, patient
    return dataset


def slices(count: int, *, study: str = STUDY, series: int = 1, patient: str = "P-1") -> list[bytes]:
    """CT slices of 128 × 128."""
    model = dcmread(str(get_testdata_file("CT_small.dcm")))
    made = []
    for number in range(1, count + 1):
        dataset = _placed(deepcopy(model), series, number, study, patient)
        dataset.PatientName, dataset.SpecificCharacterSet = "Günther^Änne", "ISO_IR 100"
        dataset.SeriesDescription = "Head <native>"
        made.append(file_of(dataset))
    return made


def structured_report(study: str = STUDY, patient: str = "P-1") -> bytes:
    """A report with a text that must be escaped."""
    dataset = _placed(dcmread(str(get_testdata_file("reportsi.dcm"))), 8, 1, study, patient)
    finding = deepcopy(dataset.ContentSequence[0])
    finding.ValueType, finding.TextValue = "TEXT", "Nodule <5 mm & stable"
    dataset.ContentSequence.append(finding)
    return file_of(dataset)


def pdf_report(study: str = STUDY, patient: str = "P-1") -> bytes:
    """A PDF in a DICOM file."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = _PDF
    dataset.Modality, dataset.MIMETypeOfEncapsulatedDocument = "DOC", "application/pdf"
    dataset.EncapsulatedDocument, dataset.EncapsulatedDocumentLength = PDF_BYTES + b"\0", len(PDF_BYTES)
    return file_of(_placed(dataset, 9, 1, study, patient))


@dataclass
class ExamPacs:
    """A PACS that has exams; `before` is called with the SOPInstanceUID of each file that is fetched."""

    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    before: Callable[[str], None] = lambda uid: None

    def add(self, *contents: bytes) -> None:
        for content in contents:
            header = dcmread(io.BytesIO(content), stop_before_pixels=True)
            values = {"file": content, "study": header.StudyInstanceUID, "series": header.SeriesInstanceUID}
            values |= {"number": header.get("InstanceNumber"), "patient": header.PatientID}
            self.files[str(header.SOPInstanceUID)] = values

    @contextlib.contextmanager
    def shared_deadline(self) -> Iterator[None]:
        yield

    def search_for_studies(self, filters: Mapping[str, str], **_: Any) -> Any:
        study = filters["StudyInstanceUID"]
        found = [one for one in self.files.values() if one["study"] == study]
        row = {"0020000D": {"Value": [study]}, "00201208": {"Value": [len(found)]}}
        return SimpleNamespace(datasets=[row] if found else [], more=False)

    def search_for_series(self, study_uid: str, *, limit: int, offset: int) -> Any:
        uids = dict.fromkeys(str(one["series"]) for one in self.files.values() if one["study"] == study_uid)
        return SimpleNamespace(datasets=[{"0020000E": {"Value": [uid]}} for uid in uids][offset:], more=False)

    def search_for_instances(
        self, study_uid: str, series_uid: str, *, limit: int, offset: int, includefields: Sequence[str]
    ) -> Any:
        rows = [
            {"00080018": {"Value": [uid]}, "00200013": {"Value": [one["number"]]}}
            for uid, one in self.files.items()
            if (one["study"], one["series"]) == (study_uid, series_uid)
        ]
        # Two a page, the last first.
        page = rows[::-1][offset : offset + 2]
        return SimpleNamespace(datasets=page, more=offset + 2 < len(rows))

    @contextlib.contextmanager
    def retrieve_instance(self, study_uid: str, series_uid: str, instance_uid: str) -> Iterator[Any]:
        self.before(instance_uid)
        self.fetched.append(instance_uid)
        if instance_uid not in self.files:
            raise NotFound("gone")
        content = self.files[instance_uid]["file"]
        yield SimpleNamespace(iter_bytes=lambda size: (content[at : at + size] for at in range(0, len(content), size)))


@dataclass
class World:
    """The stores of archives, and a PACS."""

    pacs: ExamPacs = field(default_factory=ExamPacs)
    now: float = 1_800_000_000.0
    ticks: float = 0.0
    queue_url: str = ""

    def table(self) -> ArchivesTable:
        return ArchivesTable("Archives", clock=lambda: self.now)

    @property
    def client(self) -> DicomwebClient:
        pacs: Any = self.pacs
        return pacs  # type: ignore[no-any-return]

    def builder(self) -> Builder:
        parts = BuilderParts(
            client=self.client,
            table=self.table(),
            checkpoints=Checkpoints(CACHE),
            otps_table="Otps",
            label_of=lambda patient: f"label of {patient.patient_id}",
            queue_url=self.queue_url,
        )
        return Builder(parts, clock=lambda: self.ticks)

    def begin(self, requester: str = "service", patients: str = "") -> None:
        assert self.table().begin(STUDY, BUILD, requester, None, patients)

    def build(self, *, attempt: int = 1, seconds_left: float = 900, ticket: str = "first") -> Outcome:
        message = {"StudyInstanceUID": STUDY, "build": BUILD, "ticket": ticket}
        return self.builder().build(message, attempt, seconds_left)

    def archive(self) -> Archive:
        found = self.table().get(STUDY)
        assert found is not None
        return found

    def keys(self) -> list[str]:
        listed = aws.s3().list_objects_v2(Bucket=CACHE, Prefix="archives/").get("Contents", [])
        return [entry["Key"] for entry in listed]

    def uploads(self) -> list[Any]:
        """The multipart uploads that were not finished."""
        return list(aws.s3().list_multipart_uploads(Bucket=CACHE).get("Uploads", []))

    def zip(self) -> zipfile.ZipFile:
        body = aws.s3().get_object(Bucket=CACHE, Key=self.archive().key)["Body"].read()
        return zipfile.ZipFile(io.BytesIO(body))

    def queued(self) -> list[str]:
        found = boto3.client("sqs").receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10)
        return [message["Body"] for message in found.get("Messages", [])]


@contextlib.contextmanager
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An empty cloud and an empty PACS."""
    with clouds.cloud(monkeypatch, {"ArchivesTable": "Archives", "OtpsTable": "Otps"}):
        clouds.bucket(CACHE)
        yield World(queue_url=clouds.queue("archives"))
