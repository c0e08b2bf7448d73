"""ZIPs and compressed files of several MiB through the deployed stack; the PACS counts them, each in its own study."""

import io
import random
import time
import zipfile
from collections.abc import Mapping
from typing import Any

import pytest
import requests

from tests.support.stack import Stack
from tests.support.upload_files import ROOT, dicom, fragments, zipped

MIB = 1024 * 1024


def new_study() -> str:
    return f"{ROOT}.{time.time_ns()}"


def in_pacs(stack: Stack, study: str) -> int:
    answer = stack.pacs_request("GET", f"/studies/{study}/instances", headers={"Accept": "application/dicom+json"})
    return len(answer.json()) if answer.status_code == 200 and answer.content else 0


def upload(stack: Stack, contents: Mapping[str, bytes]) -> dict[str, Any]:
    """Send files with their presigned forms and wait for what becomes of the upload."""
    files = [{"name": name, "size": len(content)} for name, content in contents.items()]
    opened = stack.request("POST", "/uploads", json={"files": files}).json()
    for file, content in zip(opened["files"], contents.values(), strict=True):
        form = requests.post(file["url"], data=file["fields"], files={"file": content}, timeout=60)
        assert form.status_code == 204
    return finished(stack, opened["uploadId"])


def finished(stack: Stack, upload_id: str) -> dict[str, Any]:
    progress: dict[str, Any] = {}
    for _ in range(240):
        progress = stack.request("GET", f"/uploads/{upload_id}").json()
        if progress["state"] != "open":
            return progress
        time.sleep(0.5)
    raise AssertionError(progress)


def instances(study: str, count: int, size: int) -> dict[str, bytes]:
    """Instances whose pixels do not pack away."""
    noise = random.Random(study).randbytes(size)
    made = {}
    for number in range(1, count + 1):
        head = dicom(number, study=study, pixels=size)[:-size]
        made[f"IM{number:04}"] = head + noise[number:] + noise[:number]
    return made


def stored_instance(stack: Stack, study: str, number: int) -> bytes:
    """The file as the service gives it."""
    path = f"/exams/studies/{study}/series/{study}.1/instances/{study}.1.{number}?fileType=application/dicom"
    answer = stack.request("GET", path)
    if answer.status_code == 303:
        answer = requests.get(answer.headers["Location"], timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.content


def test_a_zip_of_300_instances_and_60_mb(stack: Stack) -> None:
    study = new_study()
    content = zipped(instances(study, 300, 200_000), method=zipfile.ZIP_STORED)
    assert len(content) > 60_000_000

    progress = upload(stack, {"cd.zip": content})

    assert progress["counts"] == {"stored": 1}, progress["files"]
    assert progress["instances"] == 300 == in_pacs(stack, study)


def test_a_deflated_zip_and_one_in_a_zip(stack: Stack) -> None:
    # GIVEN 8 MB deflated, and 8 MB in a ZIP that lies in a ZIP
    deflated, nested = new_study(), new_study()
    inner = zipped(instances(nested, 40, 200_000))
    contents = {
        "deflated.zip": zipped(instances(deflated, 40, 200_000)),
        "nested.zip": zipped({"in.zip": inner, "README.TXT": b"viewer"}),
    }
    assert min(map(len, contents.values())) > 8_000_000

    progress = upload(stack, contents)

    assert progress["counts"] == {"stored": 2}, progress["files"]
    assert [file["instances"] for file in progress["files"]] == [40, 40]
    assert (in_pacs(stack, deflated), in_pacs(stack, nested)) == (40, 40)
    assert stored_instance(stack, nested, 40) == instances(nested, 40, 200_000)["IM0040"]


@pytest.mark.parametrize("wrapped", [False, True], ids=["alone", "in a ZIP"])
def test_a_compressed_file_of_200_fragments_comes_back_as_it_was(stack: Stack, wrapped: bool) -> None:
    # GIVEN JPEG 2000 of 200 frames and 20 MB, whose elements go on far behind the first MiB
    study = new_study()
    content = fragments(1, study=study, count=200, size=100_000)
    assert len(content) > 20_000_000
    buffer = io.BytesIO(zipped({"IM": content}, method=zipfile.ZIP_DEFLATED))

    progress = upload(stack, {"file": buffer.getvalue() if wrapped else content})

    # THEN what the PACS has is the file, byte by byte, from the preamble on
    assert progress["counts"] == {"stored": 1}, progress["files"]
    assert in_pacs(stack, study) == 1
    answer = stack.pacs_request(
        "GET",
        f"/studies/{study}/series/{study}.1/instances/{study}.1.1",
        headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'},
    )
    assert content in answer.content
