"""ZIPs and compressed files of several MiB through the deployed stack; the PACS counts them, each in its own study."""

import io
import random
import time
import zipfile

import pytest
import requests

from tests.support.damaged_zips import DAMAGES
from tests.support.stack import Stack
from tests.support.staged import ended, stage
from tests.support.upload_files import ROOT, dicom, fragments, zipped
from tests.support.uploads import filed

MIB = 1024 * 1024
SOME_DAMAGES = ("deflated, one byte", "BZIP2, one byte", "LZMA, properties that are none", "name that is not UTF-8")


def new_study() -> str:
    return f"{ROOT}.{time.time_ns()}"


def in_pacs(stack: Stack, study: str) -> int:
    answer = stack.pacs_request("GET", f"/studies/{study}/instances", headers={"Accept": "application/dicom+json"})
    return len(answer.json()) if answer.status_code == 200 and answer.content else 0


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

    progress = stage(stack, {"cd.zip": content})

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

    progress = stage(stack, contents)

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

    progress = stage(stack, {"file": buffer.getvalue() if wrapped else content})

    # THEN what the PACS has is the file, byte by byte, from the preamble on
    assert progress["counts"] == {"stored": 1}, progress["files"]
    assert in_pacs(stack, study) == 1
    answer = stack.pacs_request(
        "GET",
        f"/studies/{study}/series/{study}.1/instances/{study}.1.1",
        headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'},
    )
    assert content in answer.content


def test_damaged_zips_end_and_hold_up_nobody(stack: Stack) -> None:
    # GIVEN a damaged ZIP of each kind of packing and a good file in one upload
    studies = {name: f"{new_study()}.{place}" for place, name in enumerate(SOME_DAMAGES)}
    good = new_study()
    contents = {name: DAMAGES[name](study) for name, study in studies.items()} | {"good": dicom(1, study=good)}

    progress = stage(stack, contents)

    # THEN the upload has ended, each says what it is, and what is good is stored
    assert progress["state"] == "completed"
    assert [file.get("reasons") for file in progress["files"]] == [{"ZIP_DAMAGED": 1}] * len(studies) + [None]
    assert [in_pacs(stack, study) for study in [*studies.values(), good]] == [1] * (len(studies) + 1)


def test_a_form_used_again_leaves_nothing_and_odd_keys_go_away(stack: Stack) -> None:
    # GIVEN a completed file, and its form used again with the same bytes
    study, s3 = new_study(), stack.client("s3")
    content = dicom(1, study=study)
    opened = stack.request("POST", "/uploads", json={"files": [{"name": "a", "size": len(content)}]}).json()
    form = opened["files"][0]
    for _ in range(2):
        sent = requests.post(form["url"], data=form["fields"], files={"file": content}, timeout=60)
        assert sent.status_code == 204
        progress = ended(stack, opened["uploadId"])

    # AND a dropped key with control characters
    key = f"drop/{study}\x01\x1f.dcm"
    s3.put_object(Bucket=stack.staging_bucket, Key=key, Body=dicom(2, study=study))

    # THEN the copy is counted, nothing has changed, and nothing is left but the report
    for _ in range(120):
        progress = stack.request("GET", f"/uploads/{opened['uploadId']}").json()
        left = s3.list_objects_v2(Bucket=stack.staging_bucket, Prefix="uploads/" + opened["uploadId"])["KeyCount"]
        reports = s3.list_objects_v2(Bucket=stack.staging_bucket, Prefix=f"reports/{filed(key)}")["KeyCount"]
        if progress["files"][0].get("copies") and not left and reports:
            break
        time.sleep(0.5)
    assert (progress["files"][0].get("copies"), left, reports) == (1, 0, 1)
    assert progress["instances"] == 1
    assert in_pacs(stack, study) == 2
    with pytest.raises(s3.exceptions.ClientError):
        s3.head_object(Bucket=stack.staging_bucket, Key=key)
