"""Exams of two patients in the deployed service, and clients that nobody here wrote, with one credential or another."""

from collections.abc import Callable

import pytest
from dicomweb_client.api import DICOMwebClient

from tests.support.otp_stack import issue, redeem
from tests.support.stack import Stack
from tests.support.viewer_exams import Exam, make_exam


@pytest.fixture(scope="session")
def exam(stack: Stack) -> Exam:
    return make_exam(stack, "CANARY-VIEW-A")


@pytest.fixture(scope="session")
def other(stack: Stack) -> Exam:
    return make_exam(stack, "CANARY-VIEW-B")


@pytest.fixture(scope="session")
def token(stack: Stack, exam: Exam) -> str:
    """An exam access token with the role for viewers."""
    return redeem(stack, issue(stack, exam.stored, role="diagnostic"))


@pytest.fixture(scope="session")
def patient_token(stack: Stack, exam: Exam) -> str:
    return redeem(stack, issue(stack, exam.stored, role="patient"))


@pytest.fixture
def client(stack: Stack) -> Callable[[str], DICOMwebClient]:
    """Make the client of the PyPI package for a credential."""

    def make(credential: str) -> DICOMwebClient:
        return DICOMwebClient(f"{stack.api_url}/dicomweb", headers={"Authorization": f"Bearer {credential}"})

    return make
