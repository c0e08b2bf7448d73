"""Searches for viewers: rows and links, parameters, and what a credential sees."""

import gzip
import json

import pytest

from dicom_service.origin_server import answers
from tests.support.lambdas import Answer
from tests.support.viewer_calls import Viewer
from tests.support.viewers import Archive, image

MINE, OTHER = "1.2.1", "1.2.2"
ROOT = "https://abcdef1234.execute-api.eu-south-1.amazonaws.com/v1/dicomweb"


@pytest.fixture(autouse=True)
def two(archive: Archive) -> None:
    archive.add(*(image("P1", MINE, series) for series in ("1.2.1.1", "1.2.1.1", "1.2.1.2")))
    archive.add(image("P2", OTHER, "1.2.2.1"))


def studies(given: Answer) -> list[str]:
    assert given.status == 200, given.body
    return [row["0020000D"]["Value"][0] for row in given.json]


def test_staff_find_all_studies_with_links_to_this_service(viewer: Viewer) -> None:
    given = viewer.get("/dicomweb/studies")
    assert studies(given) == [MINE, OTHER]
    assert given.headers["Content-Type"] == "application/dicom+json"
    assert [row["00081190"]["Value"] for row in given.json] == [[f"{ROOT}/studies/{uid}"] for uid in (MINE, OTHER)]
    assert b"pacs.internal" not in given.body


def test_series_and_instances_of_a_study_are_listed_whole_with_their_links(viewer: Viewer) -> None:
    series = viewer.get(f"/dicomweb/studies/{MINE}/series").json
    assert [row["00201209"]["Value"] for row in series] == [[2], [1]]  # the archive counts none
    assert series[0]["00081190"]["Value"] == [f"{ROOT}/studies/{MINE}/series/1.2.1.1"]
    assert len(viewer.get(f"/dicomweb/studies/{MINE}/instances").json) == 3
    (row,) = viewer.get(f"/dicomweb/studies/{MINE}/series/1.2.1.2/instances").json
    link = f"{ROOT}/studies/{MINE}/series/1.2.1.2/instances/{row['00080018']['Value'][0]}"
    assert row["00081190"]["Value"] == [link]


def test_nothing_found_is_204_without_a_body(viewer: Viewer) -> None:
    for path in (
        f"studies?StudyInstanceUID={MINE}.9",
        f"studies/{MINE}.9/series",
        f"studies/{MINE}/series/9/instances",
    ):
        given = viewer.get(f"/dicomweb/{path}")
        assert (given.status, given.body) == (204, b"")


def test_keys_by_keyword_and_by_tag_and_fields_reach_the_pacs(viewer: Viewer, archive: Archive) -> None:
    query = "00100020=P1&includefield=00081030,PatientSex&includefield=all&limit=7&offset=0"
    viewer.get(f"/dicomweb/studies?{query}&fuzzymatching=true&SOPClassesInStudy=1.2")
    (sent,) = archive.queries
    assert (sent["00100020"], sent["fuzzymatching"], sent["limit"]) == ("P1", "true", "8")
    assert sent["SOPClassesInStudy"] == "1.2"


def test_more_rows_are_announced_by_a_warning(viewer: Viewer) -> None:
    given = viewer.get("/dicomweb/studies?limit=1")
    assert len(given.json) == 1 and given.headers["Warning"].startswith("299 ")
    assert "Warning" not in viewer.get("/dicomweb/studies?limit=2").headers


@pytest.mark.parametrize(("coding", "most"), [("identity", 1500), ("gzip", 700)])
@pytest.mark.parametrize("query", ["", "limit=5000&"])
def test_rows_that_do_not_fit_are_behind_the_next_offset(
    query: str, coding: str, most: int, viewer: Viewer, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIVEN more rows than an answer holds WHEN a client goes on behind those that it has THEN it gets each once."""
    archive.add(*(image("P1", MINE, "1.2.1.3", InstanceNumber=number) for number in range(1, 31)))
    wanted = [str(each.SOPInstanceUID) for each in archive.instances if each.StudyInstanceUID == MINE]
    monkeypatch.setattr(answers, "LARGEST_ANSWER", most)
    found: list[str] = []
    pages, more = 0, True
    while more:
        given = viewer.get(f"/dicomweb/studies/{MINE}/instances?{query}offset={len(found)}", Accept_Encoding=coding)
        assert given.status == 200 and 0 < len(given.body) <= most
        rows = json.loads(gzip.decompress(given.body) if coding == "gzip" else given.body)
        found += [row["00080018"]["Value"][0] for row in rows]
        pages, more = pages + 1, given.headers.get("Warning", "").startswith("299 ")
    assert found == wanted and pages > 1


def test_the_audit_notes_the_rows_of_the_answer_and_no_others(
    viewer: Viewer, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.add(*(image("P1", f"1.2.{number}", f"1.2.{number}.1") for number in range(10, 20)))
    monkeypatch.setattr(answers, "LARGEST_ANSWER", 1500)
    noted: list[str] = []
    monkeypatch.setattr("dicom_service.audit.notes.note", lambda **values: noted.append(values["study_uid"]))
    given = viewer.get("/dicomweb/studies")
    assert noted == studies(given)
    assert 0 < len(noted) < 12


def test_a_row_that_does_not_fit_at_all_is_400_and_says_what_to_leave_out(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "LARGEST_ANSWER", 100)
    given = viewer.get("/dicomweb/studies")
    assert (given.status, given.json["code"]) == (400, "INVALID_PARAMETER")
    assert [error["field"] for error in given.json["errors"]] == ["includefield"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("PatientIdd=P1", "PatientIdd"),
        ("patientID=P1", "patientID"),
        ("0010002=P1", "0010002"),
        ("PatientID=", "PatientID"),
        ("00100020=%20%20", "00100020"),
        ("StudyInstanceUID=", "StudyInstanceUID"),
        ("PatientID=P1&00100020=P2", "00100020"),
        ("PatientID=P1&PatientID=P2", "PatientID"),
        ("StudyInstanceUID=1.2.1,x", "StudyInstanceUID"),
        ("StudyInstanceUID=*", "StudyInstanceUID"),
        ("limit=-1", "limit"),
        ("limit=a", "limit"),
        ("limit=1&limit=2", "limit"),
        ("offset=1000001", "offset"),
        ("fuzzymatching=yes", "fuzzymatching"),
        ("includefield=Nothing", "includefield"),
        ("PatientName=a%00b", "PatientName"),
    ],
)
def test_what_cannot_be_read_is_400_and_reaches_no_pacs(
    query: str, field: str, viewer: Viewer, archive: Archive
) -> None:
    given = viewer.get(f"/dicomweb/studies?{query}")
    assert (given.status, given.json["code"]) == (400, "INVALID_PARAMETER")
    assert [error["field"] for error in given.json["errors"]] == [field]
    assert not archive.asked


def test_rows_are_compressed_for_callers_who_take_it(viewer: Viewer) -> None:
    plain = viewer.get(f"/dicomweb/studies/{MINE}/instances")
    short = viewer.get(f"/dicomweb/studies/{MINE}/instances", Accept_Encoding="deflate;q=1, gzip;q=0.5")
    assert short.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(short.body)) == plain.json
    refused = viewer.get(f"/dicomweb/studies/{MINE}/instances", Accept_Encoding="gzip;q=0, *")
    assert "Content-Encoding" not in refused.headers


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "application/*",
        "application/json",
        "application/json;q=0.2, application/dicom+json;q=0.3",
        'multipart/related; type="application/dicom+xml", application/dicom+json;q=0.1',
        "application/dicom+json; charset=UTF-8",
        # The more exact range decides, in whatever order they come.
        "application/dicom+json, application/*;q=0",
        "*/*;q=0, application/json",
        "application/json;q=0, */*",
        "application/dicom+json; charset=iso-8859-1, */*;q=0.1",
        'multipart/related; type="application/dicom+json";q=0, */*',
    ],
)
def test_who_takes_json_gets_dicom_json(accept: str, viewer: Viewer) -> None:
    given = viewer.get("/dicomweb/studies", Accept=accept)
    assert (given.status, given.headers["Content-Type"]) == (200, "application/dicom+json")


@pytest.mark.parametrize(
    "accept",
    [
        'multipart/related; type="application/dicom+xml"',
        "text/html",
        "application/dicom+json;q=0",
        "application/dicom+json;q=0, */*",
        "*/*, application/dicom+json;q=0.0",
        "application/*;q=0, */*",
        "application/json, application/dicom+json;q=0",
        "application/dicom+json; charset=iso-8859-1",
    ],
)
def test_what_is_not_offered_is_406(accept: str, viewer: Viewer) -> None:
    given = viewer.get("/dicomweb/studies", Accept=accept)
    assert (given.status, given.json["code"]) == (406, "NOT_ACCEPTABLE")


@pytest.mark.parametrize(
    "accept", ["nonsense", "application/dicom+json;q=2", "a/b;c", "*/json", "a/b" * 2000, 'a/b; x="', "a/b," * 101]
)
def test_an_accept_that_cannot_be_read_is_400(accept: str, viewer: Viewer) -> None:
    given = viewer.get("/dicomweb/studies", Accept=accept)
    assert (given.status, given.json["code"]) == (400, "INVALID_ACCEPT")


# ---- what a credential sees


PRIORS = (
    "",
    "?00100020=P1",
    "?PatientName=*",
    "?limit=101&offset=0&fuzzymatching=false",
    f"?StudyInstanceUID={MINE},{OTHER}",
)


@pytest.mark.parametrize("ignores_filters", [False, True])
@pytest.mark.parametrize("query", PRIORS)
def test_any_search_of_a_token_finds_its_own_study_alone(
    query: str, ignores_filters: bool, viewer: Viewer, archive: Archive
) -> None:
    archive.ignores_filters = ignores_filters
    assert studies(viewer.get(f"/dicomweb/studies{query}", context=viewer.token(MINE))) == [MINE]


@pytest.mark.parametrize(
    "query", [f"StudyInstanceUID={OTHER}", "StudyInstanceUID=9", "00100020=P2", "PatientID=nobody"]
)
def test_a_search_of_a_token_for_something_else_finds_nothing(query: str, viewer: Viewer) -> None:
    given = viewer.get(f"/dicomweb/studies?{query}", context=viewer.token(MINE))
    assert (given.status, given.body) == (204, b"")
    # Staff find it: it is the token that does not.
    assert viewer.get(f"/dicomweb/studies?{query}").status == (200 if OTHER in query or "P2" in query else 204)


def test_a_second_patient_under_the_uid_suspends_instead_of_showing(viewer: Viewer, archive: Archive) -> None:
    archive.add(image("P2", MINE, "1.2.1.9"))
    for path in ("studies", f"studies/{MINE}/series", f"studies/{MINE}/instances"):
        given = viewer.get(f"/dicomweb/{path}", context=viewer.token(MINE))
        assert (given.status, given.json["code"]) == (403, "EXAM_SUSPENDED"), path
