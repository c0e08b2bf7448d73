"""A file on which the PACS stops answering is given up; those beside it are stored and named for nothing."""

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from tests.support.deployed import variables
from tests.support.dicom_files import dataset, nested, part10
from tests.support.stack import Stack

# Deeper than Orthanc bears; only the ceiling of the service keeps it out.
DEADLY = 60
NEIGHBOURS = 5
PATIENCE = 240.0


@pytest.fixture
def no_ceiling(stack: Stack) -> Iterator[None]:
    """The ingest without its ceiling, as it were for a defect of the PACS that nobody knows yet."""
    with variables(stack, "IngestExamFunction", MAX_SEQUENCE_DEPTH="500"):
        yield


class Restarts:
    """Starts Orthanc again whenever it has died, and counts that."""

    def __init__(self) -> None:
        self.count = 0


@contextmanager
def supervised(stack: Stack) -> Iterator[Restarts]:
    restarts, over = Restarts(), threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            if not stack.orthanc.running:
                over.wait(1.0)  # as systemd and its like
                restarts.count += stack.orthanc.start()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield restarts
    finally:
        over.set()
        watcher.join()
        stack.orthanc.start()


def test_it_is_given_up_after_three_tries_alone_and_its_neighbours_are_stored(stack: Stack, no_ceiling: None) -> None:
    study = f"2.25.{uuid.uuid4().int}"

    def file(number: int) -> bytes:
        return dataset(
            StudyInstanceUID=study.encode(),
            SeriesInstanceUID=f"{study}.1".encode(),
            SOPInstanceUID=f"{study}.1.{number}".encode(),
        )

    contents = [part10(file(number)) for number in range(NEIGHBOURS)]
    contents.append(part10(file(NEIGHBOURS) + nested(DEADLY)))
    with supervised(stack) as restarts:
        files = [{"name": str(number), "size": len(content)} for number, content in enumerate(contents)]
        opened = stack.request("POST", "/uploads", json={"files": files}).json()
        for content, entry in zip(contents, opened["files"], strict=True):
            requests.post(entry["url"], data=entry["fields"], files={"file": content}, timeout=60).raise_for_status()
        began, stored_after = time.monotonic(), 0.0
        while True:
            progress = stack.request("GET", f"/uploads/{opened['uploadId']}").json()
            if not stored_after and progress["counts"].get("stored") == NEIGHBOURS:
                stored_after = time.monotonic() - began
            if progress["state"] != "open":
                break
            assert time.monotonic() - began < PATIENCE, progress
            time.sleep(0.5)
        ended_after = time.monotonic() - began
    told = {entry["name"]: (entry["state"], entry.get("reason")) for entry in progress["files"]}
    assert told.pop(str(NEIGHBOURS)) == ("rejected", "PACS_STOPS_ON_IT")
    assert set(told.values()) == {("stored", None)}
    # It stopped the PACS, or the test shows nothing; once in company or before it was known, then three times alone.
    assert 1 <= restarts.count <= 4
    assert stored_after < ended_after
    found = stack.pacs_request("GET", f"/studies/{study}/instances").json()
    assert len(found) == NEIGHBOURS
    assert '"PacsStopsOnIt"' in stack.log
    print(f"\nPACS restarts: {restarts.count}; neighbours stored after {stored_after:.0f} s, end {ended_after:.0f} s")
