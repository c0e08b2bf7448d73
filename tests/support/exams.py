"""Small made-up exams."""

import itertools
import uuid
from typing import Any

import requests
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from tests.support.dicom_files import saved
from tests.support.stack import Stack

_numbers = itertools.count(1)


def new_uid() -> str:
    return f"2.25.{uuid.uuid4().int}"


def instance(
    study: str,
    series: str,
    *,
    modality: str = "OT",
    patient: str = "PAT1",
    accession: str = "ACC1",
    date: str = "20260131",
) -> bytes:
    """Make a Part 10 file without pixels."""
    dataset = Dataset()
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = new_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.PatientID, dataset.PatientName, dataset.AccessionNumber = patient, "CANARY^NAME", accession
    dataset.Modality, dataset.StudyDate, dataset.InstanceNumber = modality, date, next(_numbers)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return saved(dataset)


def exam(series: int, instances: int, **values: str) -> tuple[str, list[bytes]]:
    """Make an exam with so many series of so many instances each; give its UID and its files."""
    study = new_uid()
    files = []
    for number in range(series):
        uid = f"{study}.{number}"[:64]
        files += [instance(study, uid, **values) for _ in range(instances)]
    return study, files


def upload(stack: Stack, files: list[bytes]) -> None:
    parts = [("file", (f"{number}.dcm", data, "application/dicom")) for number, data in enumerate(files)]
    answer = stack.request("POST", "/exams", files=parts)
    assert answer.status_code == 200, answer.text


def feed(stack: Stack) -> list[dict[str, Any]]:
    """Return all events of the feed so far."""
    events: list[dict[str, Any]] = []
    query = {"limit": "1000"}
    while True:
        page = stack.request("GET", "/events", params=query).json()
        events += page["events"]
        if len(page["events"]) < 1000:
            return events
        query["after"] = page["next"]


def send_to_pacs(stack: Stack, files: list[bytes]) -> requests.Response:
    """Store files in the PACS, past the service."""
    boundary = uuid.uuid4().hex
    body = b"".join(
        f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + data + b"\r\n" for data in files
    )
    headers = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}'}
    headers["Accept"] = "application/dicom+json"
    return stack.pacs_request("POST", "/studies", data=body + f"--{boundary}--\r\n".encode(), headers=headers)


def upload_to_pacs(stack: Stack, files: list[bytes]) -> None:
    """Store files in the PACS, past the service, which it takes."""
    answer = send_to_pacs(stack, files)
    assert answer.status_code == 200, answer.text
