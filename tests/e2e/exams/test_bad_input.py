"""What cannot be stored gets its status and its name, and nothing of it reaches the PACS."""

from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom.data import get_testdata_file

from tests.support.dicom_files import dataset, nested, part10
from tests.support.stack import Stack

DICOM = {"Content-Type": "application/dicom"}
GOOD_UID = "1.2.826.0.1.3680043.9.3"
GOOD = part10(dataset(SOPInstanceUID=GOOD_UID.encode()))


def instances(stack: Stack) -> list[str]:
    found: list[Any] = stack.pacs_request("GET", "/instances").json()
    return sorted(instance["00080018"]["Value"][0] for instance in found)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"only text\n" * 50, "NO_DICM"),
        (GOOD[:-3], "TRUNCATED"),
        (Path(str(get_testdata_file("MR_truncated.dcm"))).read_bytes(), "TRUNCATED"),
        (part10(dataset(SOPInstanceUID=None)), "NO_SOP_UIDS"),
        (part10(dataset(SOPInstanceUID=b"../../1.2")), "INVALID_UID"),
        (part10(nested(1000) + dataset()), "TOO_DEEP"),
        (Path(str(get_testdata_file("DICOMDIR"))).read_bytes(), "DICOMDIR"),
    ],
    ids=["text", "cut", "cut pixels", "no UIDs", "path UID", "deep", "DICOMDIR"],
)
def test_a_bad_file_is_named_and_takes_the_good_ones_with_it(stack: Stack, body: bytes, reason: str) -> None:
    before = instances(stack)
    assert GOOD_UID not in before
    given = stack.request("POST", "/exams", files={"a": ("good.dcm", GOOD), "b": ("bad.dcm", body)})
    assert (given.status_code, given.headers["Content-Type"]) == (422, "application/problem+json")
    assert [(entry["file"], entry["reason"]) for entry in given.json()["errors"]] == [("bad.dcm", reason)]
    assert instances(stack) == before


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"data": b"", "headers": DICOM}, "NO_FILE"),
        ({"data": GOOD, "headers": {"Content-Type": "text/plain"}}, "UNSUPPORTED_CONTENT_TYPE"),
        ({"files": {"a": (None, "a value, not a file")}}, "NO_FILE"),
        ({"data": b"--x\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, "INVALID_MULTIPART"),
    ],
    ids=["empty", "wrong type", "no files", "cut form"],
)
def test_a_request_without_a_file_is_400(stack: Stack, options: dict[str, Any], code: str) -> None:
    given = stack.request("POST", "/exams", **options)
    assert (given.status_code, given.json()["code"]) == (400, code)


@pytest.mark.parametrize("size", [4_500_001, 100_000_000])
def test_too_large_a_body_names_the_way_for_large_files(stack: Stack, size: int) -> None:
    given = stack.request("POST", "/exams", data=bytes(size), headers=DICOM)
    assert (given.status_code, given.json()["code"]) == (413, "USE_UPLOADS")
    assert "/uploads" in given.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/exams/studies/..%2f..%2fsystem/series",
        "/exams/studies/1.2%00/series",
        "/exams/studies/%2e%2e/series",
        "/exams/studies/1.2.*/series",
        "/exams/studies/1.2'or'1/thumbnail",
        f"/exams/studies/{'1' * 65}/series",
    ],
)
def test_a_path_that_is_no_uid_stays_outside(stack: Stack, path: str) -> None:
    # prepared by hand, since the library would tidy the path
    request = requests.Request("GET", stack.api_url, headers={"Authorization": f"Bearer {stack.service_key}"}).prepare()
    request.url = stack.api_url + path
    given = stack.http.send(request, timeout=60)
    # a slash, once decoded, makes a path of other parts, which no route has
    expected = (404, "NO_SUCH_ROUTE") if "%2f" in path else (400, "INVALID_UID")
    assert (given.status_code, given.json()["code"]) == expected


@pytest.mark.parametrize("path", ["series", "thumbnail", "series/1.2.4/instances", "series/1.2.4/thumbnail"])
def test_an_unknown_exam_is_404(stack: Stack, path: str) -> None:
    given = stack.request("GET", f"/exams/studies/1.2.826.0.1.3680043.9.999/{path}")
    assert (given.status_code, given.json()["code"]) == (404, "NOT_FOUND")


def test_an_unknown_instance_is_404_in_every_form(stack: Stack) -> None:
    for file_type in ("application/dicom", "image/jpeg", "image/png"):
        path = "/exams/studies/1.2.826.0.1.3680043.9.999/series/1.2.4/instances/1.2.5"
        given = stack.request("GET", path, params={"fileType": file_type})
        assert (given.status_code, given.json()["code"]) == (404, "NOT_FOUND")


def test_mistyped_parameters_do_not_widen_a_search(stack: Stack) -> None:
    given = stack.request("GET", "/exams/studies", params={"patientd": "1", "limit": "0", "from": "yesterday"})
    assert given.status_code == 400
    assert {error["field"] for error in given.json()["errors"]} == {"patientd", "limit", "from"}
    # a value with quotes, spaces and other scripts is a value like any other
    quoted = stack.request("GET", "/exams/studies", params={"patientName": 'O\'Brien "x" Ελένη 山田*'})
    assert (quoted.status_code, quoted.json()) == (200, [])
