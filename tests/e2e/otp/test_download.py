"""`download: false`: a patient sees pictures and reads reports, and takes no file along."""

import io

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian, generate_uid

from tests.support.otp_stack import StoredExam, issue, redeem
from tests.support.stack import Stack

FILE, PICTURE = "?fileType=application/dicom", "?fileType=image/jpeg"


@pytest.fixture(scope="module")
def report(stack: Stack, exam: StoredExam) -> StoredExam:
    """An Encapsulated PDF in the exam."""
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        delattr(dataset, keyword)
    dataset.PatientID, dataset.PatientName, dataset.PatientBirthDate = exam.patient_id, "CANARY^OTP", "19610412"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = exam.study_uid, *_uids(2)
    dataset.SOPClassUID, dataset.Modality = EncapsulatedPDFStorage, "DOC"
    dataset.EncapsulatedDocument, dataset.MIMETypeOfEncapsulatedDocument = b"%PDF-1.4 report", "application/pdf"
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = io.BytesIO()
    dataset.save_as(data, enforce_file_format=True)
    answer = stack.request("POST", "/exams", files={"file": data.getvalue()})
    assert answer.status_code == 200, answer.text
    return StoredExam(exam.study_uid, dataset.SeriesInstanceUID, dataset.SOPInstanceUID, exam.patient_id)


def _uids(count: int) -> list[str]:
    return [generate_uid() for _ in range(count)]


def instance(exam: StoredExam, word: str = "instances") -> str:
    return f"{exam.path}/series/{exam.series_uid}/{word}/{exam.instance_uid}"


def test_without_download_pictures_and_reports_are_all(stack: Stack, exam: StoredExam, report: StoredExam) -> None:
    token = redeem(stack, issue(stack, exam, download=False))

    for word in ("instance", "instances"):
        rejected = stack.request("GET", instance(exam, word) + FILE, key=token)
        assert (rejected.status_code, rejected.json()["code"]) == (403, "DOWNLOAD_NOT_ALLOWED")
    assert stack.request("GET", instance(exam) + PICTURE, key=token).status_code == 200
    assert stack.request("GET", f"{exam.path}/thumbnail", key=token).status_code == 200
    opened = stack.request("GET", instance(report) + FILE, key=token)
    assert opened.status_code == 200
    assert b"%PDF-1.4 report" in opened.content


def test_control_with_download_and_for_diagnosis_the_file_opens(stack: Stack, exam: StoredExam) -> None:
    for wishes in ({}, {"download": True}, {"role": "diagnostic"}):
        token = redeem(stack, issue(stack, exam, **wishes))
        assert stack.request("GET", instance(exam) + FILE, key=token).status_code == 200, wishes


def test_a_diagnostic_code_without_files_is_not_promised(stack: Stack, exam: StoredExam) -> None:
    body = {"studyUID": exam.study_uid, "role": "diagnostic", "download": False}
    answer = stack.request("POST", "/otps", json=body)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["download"]
