"""The whole service on a cloud that throttles, slows down and conflicts, which the local stack never does by itself.

In `make soak`: a stack of its own, whose functions have a share of their requests to DynamoDB, S3 and SQS failed.
"""

import io
import os
import re
import time
import zipfile
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.stack import Stack, own_stack
from tests.support.staged import stage
from tests.support.upload_files import ROOT, dicom
from tests.support.waiting import wait_for

SHARE = 0.06
pytestmark = pytest.mark.skipif("SOAK" not in os.environ, reason="a stack of its own takes a minute")


@pytest.fixture(scope="module")
def failing() -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAIL_AWS_CALLS", str(SHARE))
        with own_stack() as started:
            yield started


def test_each_exam_is_stored_and_announced_once_and_no_caller_is_told_an_error(failing: Stack) -> None:
    # GIVEN exams by all ways: forms, a ZIP, drops, POST /exams
    studies = {way: f"{ROOT}.{time.time_ns()}{number}" for number, way in enumerate(("forms", "zip", "drop", "post"))}
    files = {way: [dicom(number, study=study) for number in range(30)] for way, study in studies.items()}
    assert stage(failing, dict(enumerated(files["forms"])))["counts"] == {"stored": 30}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in enumerated(files["zip"]):
            archive.writestr(name, content)
    assert stage(failing, {"cd.zip": packed.getvalue()})["instances"] == 30
    for name, content in enumerated(files["drop"]):
        failing.client("s3").put_object(Bucket=failing.staging_bucket, Key=f"drop/{name}", Body=content)
    for content in files["post"]:
        answer = failing.request("POST", "/exams", data=content, headers={"Content-Type": "application/dicom"})
        assert answer.status_code == 200, answer.text

    # WHEN they are announced
    wait_for(lambda: {study for study, _ in announced(failing)} >= set(studies.values()), 120)

    # THEN each is in the PACS whole, and in the feed with all its instances once
    for study in studies.values():
        assert len(failing.pacs_request("GET", "/instances", params={"StudyInstanceUID": study}).json()) == 30
    found = announced(failing)
    assert max(found.values()) == 1
    # Loose files may pause for longer than the quiet period; an upload knows when it is whole.
    assert [Counter(study for study, _ in found)[studies[way]] for way in ("forms", "zip")] == [1, 1]

    # AND short requests are answered
    assert {failing.request("GET", "/uid").status_code for _ in range(20)} == {200}
    met = Counter(re.findall(r"AWS fails: (\w+) for (\w+:\w+)", failing.log))
    kinds = {code for code, _ in met}
    print(f"\n{sum(met.values())} requests of functions failed: {len(kinds)} kinds, {len(met)} actions")
    assert sum(met.values()) > 20


def enumerated(contents: list[bytes]) -> list[tuple[str, bytes]]:
    return [(f"{number:03d}", content) for number, content in enumerate(contents)]


def announced(stack: Stack) -> Counter[tuple[str, str]]:
    """Count the announcements in the feed, by study and id of the event."""
    found: Counter[tuple[str, str]] = Counter()
    cursor = ""
    while True:
        page = stack.request("GET", "/events", params={"after": cursor} if cursor else {}).json()
        if not page["events"]:
            return found
        exams = [event for event in page["events"] if event["type"] == "Exam Uploaded"]
        found.update((event["data"]["StudyInstanceUID"], event["data"]["eventId"]) for event in exams)
        cursor = page["next"]
