"""A file that the PACS does not give in the time of a request: fetched in the background, once, then given by link."""

import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests

from tests.support.dicom_files import dataset, element, part10
from tests.support.exams import upload_to_pacs
from tests.support.stack import Stack
from tests.support.waiting import wait_for

UID = "1.2.826.0.1.3680043.9.5"
SERIES = f"/exams/studies/{UID}.1/series/1.2.3.4"
SIZE = 220_000_000 if os.environ.get("SOAK") == "1" else 70_000_000
# Longer than a request waits for the first byte (PacsReadTimeout), well before it gives up (PacsTotalTimeout).
FROZEN_SECONDS = 18.0


@contextmanager
def frozen_for_a_while(stack: Stack) -> Iterator[None]:
    """Orthanc answers nothing for so long that a request gives up the file, and can still ask whether it is there."""
    pid = stack.orthanc.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    thaw = threading.Timer(FROZEN_SECONDS, os.kill, (pid, signal.SIGCONT))
    thaw.start()
    try:
        yield
    finally:
        thaw.cancel()
        thaw.join()
        os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def large(stack: Stack) -> bytes:
    """A stored file of 70 MB; with SOAK=1 of 220 MB."""
    image = dataset(SOPInstanceUID=UID.encode(), StudyInstanceUID=f"{UID}.1".encode())
    file = part10(image + element(0x7FE00010, b"OW", bytes(range(250)) * (SIZE // 250)))
    upload_to_pacs(stack, [file])
    return file


def ask(stack: Stack, uid: str = UID) -> requests.Response:
    return stack.request("GET", f"{SERIES}/instances/{uid}", params={"fileType": "application/dicom"})


def ask_at_once(stack: Stack, uid: str) -> list[requests.Response]:
    with ThreadPoolExecutor(3) as callers:
        return list(callers.map(lambda _: ask(stack, uid), range(3)))


def entries(stack: Stack) -> list[tuple[str, object]]:
    """Return what the cache holds of the study, each with the moment it was put there."""
    listed = stack.client("s3").list_objects_v2(Bucket=stack.outputs["CacheBucket"], Prefix=f"instances/{UID}.1/")
    return [(found["Key"].rpartition("/")[2], found["LastModified"]) for found in listed.get("Contents", [])]


def test_it_is_fetched_once_for_all_who_ask_and_comes_whole(stack: Stack, large: bytes) -> None:
    # GIVEN several callers for whom the PACS is too slow; functions that are up, so that theirs is the only wait
    assert [answer.status_code for answer in ask_at_once(stack, "1.2.3")] == [404] * 3
    with frozen_for_a_while(stack):
        given = ask_at_once(stack, UID)
    # THEN all are told to come back
    for answer in given:
        assert (answer.status_code, answer.json()["code"]) == (503, "BEING_FETCHED"), answer.text
        assert int(answer.headers["Retry-After"]) > 0
    # WHEN they do THEN there is a link to the whole file
    deadline = time.monotonic() + 240
    while (answer := ask(stack)).status_code == 503 and time.monotonic() < deadline:
        assert answer.json()["code"] == "BEING_FETCHED"
        time.sleep(1)
    assert answer.status_code == 303, answer.text
    fetched = requests.get(answer.headers["Location"], timeout=120).content
    assert hashlib.sha256(fetched).digest() == hashlib.sha256(large).digest()
    # and it was fetched once; nothing else stays in the cache bucket
    assert [name for name, _ in entries(stack)] == [f"{UID}.dcm"]
    assert stack.log.count("instance fetched") == 1


def test_once_fetched_it_is_given_at_once_unless_the_pacs_has_lost_it(stack: Stack, large: bytes) -> None:
    # GIVEN a file that is in the cache, whoever asked for it first
    wait_for(lambda: ask(stack).status_code == 303)
    kept = entries(stack)
    assert len(kept) == 1
    # WHEN it is asked for again THEN it is given, and not fetched again
    assert ask(stack).status_code == 303
    assert entries(stack) == kept
    # WHEN the PACS has lost it THEN it is given no longer
    rest = stack.pacs.url.removesuffix("/dicom-web")
    auth = (stack.pacs.user, stack.pacs.password)
    (found,) = requests.post(
        f"{rest}/tools/find", json={"Level": "Instance", "Query": {"SOPInstanceUID": UID}}, auth=auth, timeout=60
    ).json()
    requests.delete(f"{rest}/instances/{found}", auth=auth, timeout=60).raise_for_status()
    assert ask(stack).json()["code"] == "NOT_FOUND"
