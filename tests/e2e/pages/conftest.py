"""The exams that the pages show."""

import pytest

from tests.support.page_exams import Exam, ct, structured_report
from tests.support.stack import Stack

SLICES = 300


@pytest.fixture(scope="session")
def large_exam(stack: Stack) -> Exam:
    """A CT of 300 slices and a report."""
    exam = Exam(stack, "Yamada^Tarou=山田^太郎=やまだ^たろう", "Thorax")
    return exam.add("CT", "Axial", ct(SLICES)).add("SR", "Report", [structured_report("Größe unverändert.")])


@pytest.fixture(scope="session")
def small_exam(stack: Stack) -> Exam:
    """A CT of twelve slices."""
    return Exam(stack, "Müller^Zoë", "Knie").add("CT", "Axial", ct(12))
