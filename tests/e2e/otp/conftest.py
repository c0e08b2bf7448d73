"""Two exams of two patients in the deployed service, and the OTP parts in this process on its very tables.

The attacks that need thousands of requests, or a guard switched off, run in this process against the deployed
tables: the guards are conditional writes, so DynamoDB decides and not the process they are sent from. SOAK=1 gives the
full counts (`make soak`); without it the same attacks run with small ones.
"""

from collections.abc import Iterator

import pytest

from dicom_service import aws
from dicom_service.otp.store import OtpTables
from local.settings import ADMINISTRATOR, REGION
from tests.support.dicom_files import ct_image, saved
from tests.support.otp import Harness, keyring
from tests.support.otp_stack import StoredExam
from tests.support.stack import Stack


@pytest.fixture(scope="session")
def exam(stack: Stack) -> StoredExam:
    return _upload(stack, "CANARY-OTP-A")


@pytest.fixture(scope="session")
def other_exam(stack: Stack) -> StoredExam:
    return _upload(stack, "CANARY-OTP-B")


def _upload(stack: Stack, patient_id: str) -> StoredExam:
    image = ct_image(PatientID=patient_id, PatientName="CANARY^OTP", PatientBirthDate="19610412")
    answer = stack.request("POST", "/exams", files={"file": saved(image)})
    assert answer.status_code == 200, answer.text
    return StoredExam(image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID, patient_id)


@pytest.fixture
def harness(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    """The OTP domain in this process, on the tables and the master secret of the deployed stack."""
    values = {**ADMINISTRATOR, "AWS_ENDPOINT_URL": stack.values["AWS_ENDPOINT_URL"], "AWS_DEFAULT_REGION": REGION}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    aws.forget_clients()
    outputs = stack.outputs
    tables = OtpTables(
        outputs["OtpsTable"], outputs["AccessTokensTable"], outputs["ExamEventsTable"], outputs["OtpSubjectsTable"]
    )
    yield Harness(tables, keyring(outputs["OtpMasterSecret"]), keyring(outputs["PatientKeysSecret"]))
    aws.forget_clients()
