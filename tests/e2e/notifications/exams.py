"""Small made-up exams."""

import io
import itertools
import uuid

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

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
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def exam(series: int, instances: int, **values: str) -> tuple[str, list[bytes]]:
    """Make an exam with so many series of so many instances each; give its UID and its files."""
    study = new_uid()
    files = []
    for number in range(series):
        uid = f"{study}.{number}"[:64]
        files += [instance(study, uid, **values) for _ in range(instances)]
    return study, files
