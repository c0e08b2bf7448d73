"""POST /exams: good files are stored, bad ones are named, and nothing is stored by halves unnoticed."""

from typing import Any

import boto3
import pytest

from tests.support.dicom_files import dataset, part10
from tests.support.lambdas import Answer, Invoke
from tests.support.pacs import FakePacs, answer, dicom_json
from tests.support.store_requests import failed, form, request, stored

GOOD = part10(dataset())
OTHER = part10(dataset(SOPInstanceUID=b"1.2.3.4.6"))


def registered() -> set[str]:
    items = boto3.client("dynamodb").scan(TableName="Exams")["Items"]
    return {item["SOPInstanceUID"]["S"] for item in items if not item["SOPInstanceUID"]["S"].startswith("#")}


def bad_files(given: Answer) -> dict[str, str]:
    return {entry["file"]: entry["reason"] for entry in given.json["errors"]}


def test_files_of_a_form_are_stored_and_registered(invoke: Invoke) -> None:
    with FakePacs(dicom_json(stored("1.2.3.4.5", "1.2.3.4.6"))) as pacs:
        given = invoke("upload_exam", pacs.url, **form(("a.dcm", GOOD), ("b.dcm", OTHER)))
    assert given.status == 200
    assert len(given.json[0]["00081199"]["Value"]) == 2
    assert registered() == {"1.2.3.4.5", "1.2.3.4.6"}


def test_links_lead_to_the_service_and_never_to_the_pacs(invoke: Invoke) -> None:
    with FakePacs(dicom_json(stored("1.2.3.4.5"))) as pacs:
        given = invoke("upload_exam", pacs.url, **request(GOOD, "application/dicom"))
    (item,) = given.json[0]["00081199"]["Value"]
    assert b"pacs.internal" not in given.body
    assert "/exams/studies/1.2.3/series/1.2.3.4/instances/1.2.3.4.5" in item["00081190"]["Value"][0]


def test_the_preamble_does_not_reach_the_pacs(invoke: Invoke) -> None:
    executable = part10(dataset(), preamble=b"MZ" + b"\x90" * 126)
    with FakePacs(dicom_json(stored("1.2.3.4.5"))) as pacs:
        assert invoke("upload_exam", pacs.url, **request(executable, "application/dicom")).status == 200
        sent = pacs.received[0].body
    assert b"MZ\x90" not in sent
    assert GOOD in sent


def test_partly_stored_is_202_with_the_reason(invoke: Invoke) -> None:
    both = stored("1.2.3.4.5") | failed("1.2.3.4.6", 0xA700)
    with FakePacs(dicom_json(both, 202)) as pacs:
        given = invoke("upload_exam", pacs.url, **form(("a.dcm", GOOD), ("b.dcm", OTHER)))
    assert given.status == 202
    assert given.json[0]["00081198"]["Value"][0]["00081197"]["Value"] == [0xA700]
    assert registered() == {"1.2.3.4.5"}


def test_none_stored_is_409_with_the_reason(invoke: Invoke) -> None:
    with FakePacs(dicom_json(failed("1.2.3.4.5", 0x0122), 409)) as pacs:
        given = invoke("upload_exam", pacs.url, **request(GOOD, "application/dicom"))
    assert (given.status, given.json["code"]) == (409, "PACS_STORED_NONE")
    assert given.json["result"][0]["00081198"]["Value"][0]["00081197"]["Value"] == [0x0122]
    assert registered() == set()


def test_one_bad_file_refuses_all_and_names_each(invoke: Invoke) -> None:
    files = [
        ("good.dcm", GOOD),
        ("notes.txt", b"not DICOM at all" * 20),
        ("cut.dcm", GOOD[:-3]),
        ("empty.dcm", b""),
        ("no uid.dcm", part10(dataset(SOPInstanceUID=None))),
        ("../../path.dcm", part10(dataset(StudyInstanceUID=b"../1"))),
    ]
    with FakePacs(dicom_json(stored("1.2.3.4.5"))) as pacs:
        given = invoke("upload_exam", pacs.url, **form(*files))
        assert pacs.received == []
    assert (given.status, given.json["code"]) == (422, "NOT_DICOM")
    assert bad_files(given) == {
        "notes.txt": "NO_DICM",
        "cut.dcm": "TRUNCATED",
        "empty.dcm": "EMPTY",
        "no uid.dcm": "NO_SOP_UIDS",
        "path.dcm": "INVALID_UID",
    }
    assert registered() == set()


def test_the_same_file_twice_is_stored_once_and_two_different_ones_of_a_name_are_refused(invoke: Invoke) -> None:
    changed = part10(dataset(PatientID=b"P-2"))
    with FakePacs(dicom_json(stored("1.2.3.4.5"))) as pacs:
        twice = invoke("upload_exam", pacs.url, **form(("a.dcm", GOOD), ("b.dcm", GOOD)))
        assert (twice.status, pacs.received[0].body.count(b"DICM")) == (200, 1)
        other = invoke("upload_exam", pacs.url, **form(("a.dcm", GOOD), ("b.dcm", changed)))
    assert (other.status, bad_files(other)) == (422, {"b.dcm": "CONFLICTING_COPY"})


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (request(b"", "application/dicom"), "NO_FILE"),
        (form(), "NO_FILE"),
        (request(b"x", "multipart/form-data"), "INVALID_MULTIPART"),
        (request(b"--xyz\r\nbroken", "multipart/form-data; boundary=xyz"), "INVALID_MULTIPART"),
        (request(GOOD, "application/json"), "UNSUPPORTED_CONTENT_TYPE"),
        (request(GOOD, ""), "UNSUPPORTED_CONTENT_TYPE"),
        ({**request(b"", "application/dicom"), "body": "%%%"}, "BAD_REQUEST"),
    ],
    ids=["nothing", "no parts", "no boundary", "cut form", "wrong type", "no type", "bad base64"],
)
def test_requests_without_a_usable_file_are_400(changes: dict[str, Any], code: str, invoke: Invoke) -> None:
    given = invoke("upload_exam", **changes)
    assert (given.status, given.json["code"]) == (400, code)


def test_more_than_fits_names_the_way_for_large_files(invoke: Invoke) -> None:
    given = invoke("upload_exam", **request(bytes(4_500_001), "application/dicom"))
    assert (given.status, given.json["code"]) == (413, "USE_UPLOADS")
    assert "POST /uploads" in given.json["detail"]


def test_stored_but_not_registered_is_an_error_that_may_be_sent_again(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakePacs(dicom_json(stored("1.2.3.4.5"))) as pacs:
        monkeypatch.setenv("EXAMS_TABLE", "gone")
        assert invoke("upload_exam", pacs.url, **request(GOOD, "application/dicom")).status == 503
        monkeypatch.setenv("EXAMS_TABLE", "Exams")
        assert invoke("upload_exam", pacs.url, **request(GOOD, "application/dicom")).status == 200
    assert registered() == {"1.2.3.4.5"}


def test_silent_loss_is_noticed(invoke: Invoke) -> None:
    # GIVEN a PACS that says 200 and stored nothing, asked about it afterwards
    with FakePacs(dicom_json({}), answer(204), dicom_json({}), answer(204)) as pacs:
        given = invoke("upload_exam", pacs.url, **request(GOOD, "application/dicom"))
    assert (given.status, given.json["code"]) == (409, "PACS_STORED_NONE")
