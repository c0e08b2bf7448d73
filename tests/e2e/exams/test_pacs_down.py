"""A PACS that is stopped, frozen or slow: told by name, in time, and over when it is back."""

import contextlib
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.dicom_files import dataset, part10
from tests.support.stack import Stack
from tests.support.waiting import wait_for

FILE = part10(dataset(SOPInstanceUID=b"1.2.826.0.1.3680043.9.4", StudyInstanceUID=b"1.2.826.0.1.3680043.9.4.1"))
CALLS = [("POST", "/exams"), ("GET", "/exams/studies"), ("GET", "/exams/studies/1.2.3/thumbnail")]


def call(stack: Stack, method: str, path: str) -> tuple[int, str]:
    body: dict[str, Any] = {"data": FILE, "headers": {"Content-Type": "application/dicom"}} if method == "POST" else {}
    given = stack.request(method, path, **body)
    return given.status_code, "" if given.ok else given.json()["code"]


@contextlib.contextmanager
def stopping(stack: Stack) -> Iterator[None]:
    stack.orthanc.stop()
    try:
        yield
    finally:
        stack.orthanc.start()


@contextlib.contextmanager
def freezing(stack: Stack) -> Iterator[None]:
    """Orthanc keeps its port and its connections, and answers nothing."""
    pid = stack.orthanc.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def stopped(stack: Stack) -> Iterator[Stack]:
    with stopping(stack):
        yield stack


@pytest.fixture
def frozen(stack: Stack) -> Iterator[Stack]:
    with freezing(stack):
        yield stack


def health(stack: Stack) -> dict[str, Any]:
    report: dict[str, Any] = stack.request("GET", "/health", key=None).json()
    return report


def has_it_once(stack: Stack) -> bool:
    found = stack.request("GET", "/exams/studies/1.2.826.0.1.3680043.9.4.1/series/1.2.3.4/instances")
    return found.status_code == 200 and len(found.json()) == 1


def test_a_stopped_pacs_is_unreachable_and_health_says_so(stopped: Stack) -> None:
    for method, path in CALLS:
        assert call(stopped, method, path) == (502, "PACS_UNREACHABLE")
    # what health said before is kept for some seconds
    wait_for(lambda: health(stopped)["status"] == "down")
    given = stopped.request("GET", "/health", key=None)
    assert given.status_code == 503
    assert given.json()["checks"] == {
        "pacs": {"status": "down", "code": "PACS_UNREACHABLE"},
        "uids": {"status": "up"},
        "exams": {"status": "up"},
    }


def test_a_frozen_pacs_is_a_timeout_of_ours_never_of_the_gateway(frozen: Stack) -> None:
    # All at once: each waits for its own time to run out.
    with ThreadPoolExecutor(len(CALLS)) as callers:
        given = list(callers.map(lambda asked: call(frozen, *asked), CALLS))
    assert given == [(504, "PACS_TIMEOUT")] * len(CALLS)


@pytest.mark.parametrize("outage", ["stop", "freeze"])
def test_when_it_is_back_everything_is(stack: Stack, outage: str) -> None:
    # GIVEN a PACS that was away while a file was sent, and health that has said so
    with stopping(stack) if outage == "stop" else freezing(stack):
        assert call(stack, "POST", "/exams")[0] == {"stop": 502, "freeze": 504}[outage]
        wait_for(lambda: health(stack)["checks"]["pacs"]["status"] == "down")
    # WHEN it is back THEN health says so, and the file is stored
    wait_for(lambda: health(stack)["status"] == "up")
    assert call(stack, "POST", "/exams")[0] == 200
    assert has_it_once(stack)
    # AND the same again does no harm
    assert call(stack, "POST", "/exams")[0] == 200
    assert has_it_once(stack)
