"""An exam as one ZIP, on the deployed stack: asked for, built once, downloaded in pieces, refused, built anew."""

import contextlib
import gc
import io
import os
import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom import dcmread
from pydicom.fileset import FileSet

from tests.support.archives import pdf_report, slices, structured_report
from tests.support.deployed import kill
from tests.support.exams import upload_to_pacs
from tests.support.stack import Stack
from tests.support.waiting import wait_for

SLICES = 12
SOAK = os.environ.get("SOAK") == "1"


def new_exam(stack: Stack, patient: str = "P-ARCHIVE", count: int = SLICES) -> tuple[str, dict[str, bytes]]:
    """An exam of slices and two reports, in the PACS alone; its StudyInstanceUID and its files by SOPInstanceUID."""
    study = f"2.25.{time.time_ns()}"
    files = [
        *slices(count, study=study, patient=patient),
        structured_report(study, patient),
        pdf_report(study, patient),
    ]
    upload_to_pacs(stack, files)
    return study, {str(dcmread(io.BytesIO(one), stop_before_pixels=True).SOPInstanceUID): one for one in files}


def path_of(study: str) -> str:
    return f"/exams/studies/{study}/archive"


def told(stack: Stack, study: str, key: str = "") -> dict[str, Any]:
    answer = stack.request("GET", path_of(study), key=key, params={"redirect": "false"})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ready(stack: Stack, study: str, key: str = "") -> dict[str, Any]:
    def is_ready() -> dict[str, Any] | None:
        found = told(stack, study, key)
        assert found["state"] not in ("failed", "cancelled"), found
        return found if found["state"] == "ready" else None

    result: dict[str, Any] = wait_for(is_ready, 120)
    return result


def opened(stack: Stack, study: str, patient: str, **more: Any) -> tuple[str, str]:
    """Issue a code and redeem it: its otpId and the access token."""
    issued = stack.request("POST", "/otps", json={"studyUID": study, "patientID": patient, **more})
    assert issued.status_code == 201, issued.text
    granted = stack.request("POST", "/otps/redeem", key=None, json={"token": issued.json()["token"]})
    assert granted.status_code == 200, granted.text
    return issued.json()["otpId"], str(granted.json()["accessToken"])


@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")
def test_an_exam_is_made_a_zip_once_and_comes_in_pieces(stack: Stack, tmp_path: Path) -> None:
    # GIVEN an exam that many ask for at once
    study, files = new_exam(stack)
    assert stack.request("GET", path_of(study)).status_code == 404
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: stack.request("POST", path_of(study)), range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert answers[0].headers["Location"].endswith(path_of(study))

    # THEN one is built, and is whole
    found = ready(stack, study)
    assert (found["done"], found["instances"]) == (len(files), len(files))
    s3, bucket = stack.client("s3"), stack.outputs["CacheBucket"]
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"archives/{study}/").get("Contents", [])
    assert [entry["Size"] for entry in listed] == [found["size"]]

    # AND it is downloaded by a redirect, and goes on with Range where a transfer broke off, at another URL
    redirected = stack.request("GET", path_of(study))
    assert redirected.status_code == 303
    half = found["size"] // 2
    first = requests.get(redirected.headers["Location"], headers={"Range": f"bytes=0-{half - 1}"}, timeout=60)
    rest = requests.get(told(stack, study)["url"], headers={"Range": f"bytes={half}-"}, timeout=60)
    assert (first.status_code, rest.status_code) == (206, 206)
    with zipfile.ZipFile(io.BytesIO(first.content + rest.content)) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)

    # AND the files are those of the PACS, by the DICOMDIR too
    by_uid = {str(dcmread(path).SOPInstanceUID): path for path in tmp_path.glob("DICOM/*/*")}
    assert set(by_uid) == set(files)
    for uid, path in by_uid.items():
        assert path.read_bytes()[132:][-1000:] == files[uid][132:][-1000:]
    file_set = FileSet(tmp_path / "DICOMDIR")
    assert len(file_set) == len(files)
    # It holds a folder that it only removes when it goes.
    del file_set
    gc.collect()
    subprocess.run(["dcmdump", "DICOMDIR"], cwd=tmp_path, check=True, capture_output=True)
    page = (tmp_path / "index.html").read_text()
    assert page.count("data:image/jpeg;base64,") == SLICES
    assert "Nodule &lt;5 mm" in page
    assert (tmp_path / "REPORTS/RP000001.PDF").read_bytes().startswith(b"%PDF")


def test_a_token_gets_its_own_exam_and_only_where_files_may_be_fetched(stack: Stack) -> None:
    study, files = new_exam(stack, "P-OWN", 2)
    other, _ = new_exam(stack, "P-OTHER", 2)
    _, token = opened(stack, study, "P-OWN")
    _, pictures_only = opened(stack, study, "P-OWN", download=False)

    # THEN its own exam is built and given, another is not reached, and pictures alone are no files
    assert stack.request("POST", path_of(study), key=token).status_code == 202
    assert ready(stack, study, token)["instances"] == len(files)
    assert stack.request("GET", path_of(study), key=token).status_code == 303
    for method in ("POST", "GET"):
        assert stack.request(method, path_of(other), key=token).status_code == 403
        refused = stack.request(method, path_of(study), key=pictures_only)
        assert (refused.status_code, refused.json()["code"]) == (403, "DOWNLOAD_NOT_ALLOWED")
        assert stack.request(method, path_of(study), key=None).status_code == 401
    assert stack.request("POST", path_of("1.2.3")).status_code == 404


def test_a_changed_exam_is_built_anew(stack: Stack) -> None:
    study, files = new_exam(stack, count=2)
    assert stack.request("POST", path_of(study)).status_code == 202
    before = ready(stack, study)
    assert stack.request("POST", path_of(study)).json()["state"] == "ready"

    upload_to_pacs(stack, slices(2, study=study, series=3, patient="P-ARCHIVE"))
    assert stack.request("POST", path_of(study)).json()["state"] in ("queued", "building")

    after = ready(stack, study)
    assert (before["instances"], after["instances"]) == (len(files), len(files) + 2)


def row_of(stack: Stack, study: str) -> dict[str, Any]:
    key = {"StudyInstanceUID": {"S": study}}
    found = stack.client("dynamodb").get_item(TableName=stack.outputs["ArchivesTable"], Key=key, ConsistentRead=True)
    row: dict[str, Any] = found["Item"]
    return row


@contextlib.contextmanager
def hurried(stack: Stack) -> Iterator[None]:
    """Leave the builder no time: each invocation adds one instance, and hands on."""
    functions = stack.client("lambda")
    pages = functions.get_paginator("list_functions").paginate()
    [found] = [one for page in pages for one in page["Functions"] if "BuildArchive" in one["FunctionName"]]
    functions.update_function_configuration(FunctionName=found["FunctionName"], Timeout=180)
    try:
        yield
    finally:
        functions.update_function_configuration(FunctionName=found["FunctionName"], Timeout=found["Timeout"])


def test_a_build_goes_on_over_invocations_and_ends_when_its_code_is_revoked(stack: Stack) -> None:
    whole, files = new_exam(stack, "P-WHOLE", 3)
    revoked, _ = new_exam(stack, "P-REVOKED", 40)
    otp_id, token = opened(stack, revoked, "P-REVOKED")
    with hurried(stack):
        # WHEN one exam takes several invocations THEN its ZIP is whole
        assert stack.request("POST", path_of(whole)).status_code == 202
        owners: set[str] = set()

        def is_ready() -> bool:
            owners.add(row_of(stack, whole).get("owner", {}).get("S", ""))
            return bool(told(stack, whole)["state"] == "ready")

        wait_for(is_ready, 180)
        assert len(owners - {""}) >= 2
        with zipfile.ZipFile(io.BytesIO(requests.get(told(stack, whole)["url"], timeout=60).content)) as archive:
            assert archive.testzip() is None
            assert len([name for name in archive.namelist() if name.startswith("DICOM/")]) == len(files)

        # WHEN the only code that asked for another is revoked meanwhile THEN nothing of it is left
        assert stack.request("POST", path_of(revoked), key=token).status_code == 202
        wait_for(lambda: int(row_of(stack, revoked).get("done", {}).get("N", "0")) > 0, 180)
        assert stack.request("DELETE", f"/otps/{otp_id}").status_code == 204
        assert int(row_of(stack, revoked)["done"]["N"]) < 40
        wait_for(lambda: told(stack, revoked)["state"] == "cancelled", 180)
    assert told(stack, revoked)["reason"] == "REVOKED"
    s3, bucket = stack.client("s3"), stack.outputs["CacheBucket"]
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket, Prefix=f"archives/{revoked}/")
    assert not [one for one in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) if revoked in one["Key"]]
    refused = stack.request("GET", path_of(revoked), key=token)
    assert (refused.status_code, refused.json()["code"]) == (401, "UNAUTHENTICATED")


@pytest.mark.skipif(not SOAK, reason="takes two minutes: the lease of a killed build has to end")
def test_a_build_that_is_killed_is_taken_up_within_minutes(stack: Stack) -> None:
    study, files = new_exam(stack, "P-KILLED")
    # GIVEN a build that waits for its PACS, and is killed
    os.kill(stack.orthanc.pid or 0, signal.SIGSTOP)
    try:
        message = f'{{"StudyInstanceUID": "{study}", "build": "{"ab" * 15}"}}'
        now = {"N": str(int(time.time()))}
        row: dict[str, Any] = {"StudyInstanceUID": {"S": study}, "build": {"S": "ab" * 15}, "state": {"S": "queued"}}
        row |= {"requestedAt": now, "updatedAt": now, "requesters": {"SS": ["service"]}}
        stack.client("dynamodb").put_item(TableName=stack.outputs["ArchivesTable"], Item=row)
        stack.client("sqs").send_message(QueueUrl=stack.outputs["ArchiveQueue"], MessageBody=message)
        wait_for(lambda: row_of(stack, study)["state"]["S"] == "building", 60)
        kill(stack, "BuildArchiveFunction")
    finally:
        os.kill(stack.orthanc.pid or 0, signal.SIGCONT)
    began = time.time()
    first = row_of(stack, study)["owner"]["S"]

    # THEN another takes it up when its lease has ended, long before the queue's own timeout of 16 minutes
    wait_for(lambda: told(stack, study)["state"] == "ready", 300)
    assert row_of(stack, study)["owner"]["S"] != first
    assert told(stack, study)["instances"] == len(files)
    print(f"killed, and ready {time.time() - began:.0f} s later")
