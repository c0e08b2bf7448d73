"""Exams for viewers, stored through the deployed service."""

from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tests.support.exams import upload
from tests.support.otp_stack import StoredExam
from tests.support.stack import Stack
from tests.support.viewers import compressed, file_of, image

JPEG_2000 = "1.2.840.10008.1.2.4.90"


@dataclass(frozen=True)
class Exam:
    """An exam of three series: slices, one image of several frames, one compressed image."""

    patient: str
    study: str
    slices: list[Dataset]
    multiframe: Dataset
    compressed: Dataset

    @property
    def series(self) -> str:
        return str(self.slices[0].SeriesInstanceUID)

    @property
    def stored(self) -> StoredExam:
        first = self.slices[0]
        return StoredExam(self.study, self.series, str(first.SOPInstanceUID), self.patient)

    def path(self, dataset: Dataset, tail: str = "") -> str:
        place = f"series/{dataset.SeriesInstanceUID}/instances/{dataset.SOPInstanceUID}"
        return f"/dicomweb/studies/{self.study}/{place}{tail}"


def make_exam(stack: Stack, patient: str) -> Exam:
    study, series = generate_uid(), generate_uid()
    slices = [
        image(patient, study, series, rows=64, columns=64, stored=12, seed=number, InstanceNumber=number)
        for number in range(1, 7)
    ]
    multiframe = image(patient, study, rows=32, columns=32, frames=5, bits=8)
    packed = compressed(image(patient, study, rows=64, columns=64), JPEG_2000)
    upload(stack, [file_of(each) for each in (*slices, multiframe, packed)])
    return Exam(patient, study, slices, multiframe, packed)
