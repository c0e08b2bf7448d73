"""Exams to look at: a stack, large X-rays, a moving ultrasound, reports, and one without any picture."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    EncapsulatedPDFStorage,
    RawDataStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from tests.support.dicom_files import saved
from tests.support.exams import upload_to_pacs
from tests.support.images import image, item
from tests.support.stack import Stack

BIRTH_DATE = "1961-04-12"
_AT_ONCE = 60
# A page of PDF with one line of text; readers rebuild its missing cross-reference table.
PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>endobj\n"
    b"4 0 obj<</Length 44>>stream\nBT /F1 18 Tf 20 120 Td (No acute findings.) Tj ET\nendstream endobj\n"
    b"5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)


class Exam:
    """An exam in the making: each `add` puts a series into it."""

    def __init__(self, stack: Stack, name: str = "Rossi^Anna", description: str = "Sample") -> None:
        self._stack = stack
        self.study_uid = str(generate_uid())
        self.patient_id = f"PAGES-{self.study_uid[-12:]}"
        self._common = {
            "StudyInstanceUID": self.study_uid,
            "PatientID": self.patient_id,
            "PatientName": name,
            "PatientBirthDate": BIRTH_DATE.replace("-", ""),
            "StudyDate": "20260131",
            "StudyDescription": description,
            "SpecificCharacterSet": "ISO_IR 192",
        }

    def add(self, modality: str, description: str, datasets: list[Dataset]) -> "Exam":
        """Store a series in the PACS, past the service."""
        series = generate_uid()
        for number, dataset in enumerate(datasets, start=1):
            values = {**self._common, "Modality": modality, "SeriesDescription": description, "InstanceNumber": number}
            for name, value in values.items():
                setattr(dataset, name, value)
            dataset.SeriesInstanceUID, dataset.SOPInstanceUID = series, generate_uid()
        files = [saved(dataset) for dataset in datasets]
        for start in range(0, len(files), _AT_ONCE):
            upload_to_pacs(self._stack, files[start : start + _AT_ONCE])
        return self

    def link(self, **wishes: Any) -> str:
        """Share it; return the link."""
        return str(self.issue(**wishes)["link"])

    def issue(self, **wishes: Any) -> dict[str, Any]:
        """Share it; return what was issued."""
        answer = self._stack.request("POST", "/otps", json={"studyUID": self.study_uid, **wishes})
        assert answer.status_code == 201, answer.text
        issued: dict[str, Any] = answer.json()
        return issued


def ct(count: int, side: int = 128) -> list[Dataset]:
    """A phantom in slices: bone around tissue, with a hole that wanders."""
    return [_slice(number / max(1, count - 1), side) for number in range(count)]


def _slice(depth: float, side: int) -> Dataset:
    rows, columns = np.mgrid[0:side, 0:side] / side - 0.5
    radius = np.hypot(rows, columns * 1.2)
    hounsfield = np.full((side, side), -1000.0)
    hounsfield[radius < 0.42] = 900
    hounsfield[radius < 0.37] = 40
    hole = np.hypot(rows - 0.2 * np.sin(6 * depth), columns - 0.2 * np.cos(6 * depth)) < 0.07
    hounsfield[hole] = -850
    hounsfield += np.random.default_rng(int(depth * 1e6)).normal(0, 12, (side, side))
    stored = np.clip(hounsfield + 1024, 0, 4095).astype(np.uint16)
    window: dict[str, Any] = {"WindowCenter": 40, "WindowWidth": 400}
    scale: dict[str, Any] = {"RescaleIntercept": -1024, "RescaleSlope": 1}
    return image(stored, SOPClassUID=CTImageStorage, **window, **scale)


def x_ray(rows: int, columns: int, sop_class: UID = DigitalXRayImageStorageForPresentation) -> Dataset:
    """One large picture."""
    y, x = np.mgrid[0:rows, 0:columns]
    pixels = (2000 + 1500 * np.sin(x / 90) * np.cos(y / 130)).astype(np.uint16)
    return image(pixels, SOPClassUID=sop_class, WindowCenter=2048, WindowWidth=4096)


def mammogram() -> Dataset:
    """A mammogram of usual size."""
    return x_ray(2294, 1914, DigitalMammographyXRayImageStorageForPresentation)


def ultrasound(frames: int = 8) -> Dataset:
    """A moving picture in color."""
    pixels: NDArray[np.uint8] = np.zeros((frames, 240, 320, 3), dtype=np.uint8)
    for frame in range(frames):
        pixels[frame, 40 + 15 * frame : 80 + 15 * frame, 100:220] = (200, 60 + 20 * frame, 40)
    size: dict[str, Any] = {"NumberOfFrames": frames, "Rows": 240, "Columns": 320}
    sample: dict[str, Any] = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0}
    color: dict[str, Any] = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    return image(pixels.tobytes(), SOPClassUID=UltrasoundMultiFrameImageStorage, **size, **sample, **color)


def pdf(size: int = 0) -> Dataset:
    """A report as a PDF of at least this size: what follows its end belongs to no page."""
    dataset = _without_pixels(EncapsulatedPDFStorage, DocumentTitle="Radiology report")
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    content = PDF + b"%" * max(0, size - len(PDF))
    dataset.EncapsulatedDocument, dataset.EncapsulatedDocumentLength = (
        content + b"\0" * (len(content) % 2),
        len(content),
    )
    return dataset


def structured_report(finding: str) -> Dataset:
    """A Basic Text SR with one finding."""
    names = [item(CodeValue="1", CodingSchemeDesignator="99T", CodeMeaning=text) for text in ("Report", "Finding")]
    dataset = _without_pixels(BasicTextSRStorage, ValueType="CONTAINER", ConceptNameCodeSequence=[names[0]])
    text = item(RelationshipType="CONTAINS", ValueType="TEXT", ConceptNameCodeSequence=[names[1]], TextValue=finding)
    dataset.ContinuityOfContent, dataset.ContentSequence = "SEPARATE", [text]
    return dataset


def raw_data() -> Dataset:
    """Something that has no picture."""
    return _without_pixels(RawDataStorage)


def _without_pixels(sop_class: UID, **attributes: Any) -> Dataset:
    dataset = image(b"", BitsAllocated=8, SOPClassUID=sop_class, **attributes)
    del dataset.PixelData
    return dataset
