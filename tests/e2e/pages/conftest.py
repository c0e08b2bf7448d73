"""One browser for all pages, and the exams that they show."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.support.browser import launch
from tests.support.page_exams import Exam, ct, structured_report
from tests.support.stack import Stack

SLICES = 300


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = launch(playwright)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def large_exam(stack: Stack) -> Exam:
    """A CT of 300 slices and a report."""
    exam = Exam(stack, "Yamada^Tarou=山田^太郎=やまだ^たろう", "Thorax")
    return exam.add("CT", "Axial", ct(SLICES)).add("SR", "Report", [structured_report("Größe unverändert.")])


@pytest.fixture(scope="session")
def small_exam(stack: Stack) -> Exam:
    """A CT of twelve slices."""
    return Exam(stack, "Müller^Zoë", "Knie").add("CT", "Axial", ct(12))
