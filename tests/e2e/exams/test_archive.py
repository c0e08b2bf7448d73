"""An exam as one ZIP, on the deployed stack: asked for, built once, downloaded in pieces, refused, built anew."""

import gc
import io
import subprocess
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom import dcmread
from pydicom.fileset import FileSet

from tests.support.archives import pdf_report, slices, structured_report
from tests.support.exams import upload_to_pacs
from tests.support.stack import Stack
from tests.support.waiting import wait_for

SLICES = 12


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
