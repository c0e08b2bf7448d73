"""A PACS that is stopped, frozen or slow: told by name, in time, and over when it is back."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.dicom_files import dataset, part10
from tests.support.stack import Stack

FILE = part10(dataset(SOPInstanceUID=b"1.2.826.0.1.3680043.9.4", StudyInstanceUID=b"1.2.826.0.1.3680043.9.4.1"))
CALLS = [("POST", "/exams"), ("GET", "/exams/studies"), ("GET", "/exams/studies/1.2.3/thumbnail")]


def call(stack: Stack, method: str, path: str) -> tuple[int, str]:
    body: dict[str, Any] = {"data": FILE, "headers": {"Content-Type": "application/dicom"}} if method == "POST" else {}
    given = stack.request(method, path, **body)
    return given.status_code, "" if given.ok else given.json()["code"]


@pytest.fixture
def stopped(stack: Stack) -> Iterator[Stack]:
    stack.orthanc.stop()
    try:
        yield stack
    finally:
        stack.orthanc.start()


@pytest.fixture
def frozen(stack: Stack) -> Iterator[Stack]:
    """Orthanc keeps its port and its connections, and answers nothing."""
    pid = stack.orthanc.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield stack
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_stopped_pacs_is_unreachable_and_health_says_so(stopped: Stack) -> None:
    for method, path in CALLS:
        assert call(stopped, method, path) == (502, "PACS_UNREACHABLE")
    health = stopped.request("GET", "/health", key=None)
    assert health.status_code == 503
    assert health.json()["checks"] == {
        "pacs": {"status": "down", "code": "PACS_UNREACHABLE"},
        "uids": {"status": "up"},
        "exams": {"status": "up"},
    }


def test_a_frozen_pacs_is_a_timeout_of_ours_never_of_the_gateway(frozen: Stack) -> None:
    for method, path in CALLS:
        assert call(frozen, method, path) == (504, "PACS_TIMEOUT")


def test_when_it_is_back_everything_is(stack: Stack) -> None:
    assert stack.request("GET", "/health", key=None).json()["status"] == "up"
    assert call(stack, "POST", "/exams")[0] == 200
    # the same again does no harm
    assert call(stack, "POST", "/exams")[0] == 200
    found = stack.request("GET", "/exams/studies/1.2.826.0.1.3680043.9.4.1/series/1.2.3.4/instances")
    assert len(found.json()) == 1
