"""Metadata for viewers: links, the cache and what makes it void, a PACS that has none, what a credential sees."""

import gzip
import json

import pytest

from dicom_service import aws
from dicom_service.exams.missing_counts import MOST_SEARCHES
from tests.support.viewer_calls import Viewer
from tests.support.viewers import Archive, image

MINE, OTHER = "1.2.1", "1.2.2"
SERIES = "1.2.1.1"
SERIES_METADATA = f"/dicomweb/studies/{MINE}/series/{SERIES}/metadata"
ROOT = "https://abcdef1234.execute-api.eu-south-1.amazonaws.com/v1/dicomweb"


@pytest.fixture(autouse=True)
def two(archive: Archive) -> None:
    archive.add(image("P1", MINE, SERIES), image("P1", MINE, SERIES), image("P1", MINE, "1.2.1.2"))
    archive.add(image("P2", OTHER, "1.2.2.1"))


def kept() -> list[str]:
    return [entry["Key"] for entry in aws.s3().list_objects_v2(Bucket="cache").get("Contents", [])]


@pytest.mark.parametrize(("level", "instances"), [("", 3), (f"/series/{SERIES}", 2)])
def test_each_instance_is_in_it_with_links_to_this_service(level: str, instances: int, viewer: Viewer) -> None:
    given = viewer.get(f"/dicomweb/studies/{MINE}{level}/metadata")
    assert (given.status, given.headers["Content-Type"]) == (200, "application/dicom+json")
    assert given.headers["Cache-Control"] == "private, no-cache" and len(given.json) == instances
    for row in given.json:
        series, instance = (row[tag]["Value"][0] for tag in ("0020000E", "00080018"))
        path = f"{ROOT}/studies/{MINE}/series/{series}/instances/{instance}/bulkdata/7FE00010"
        assert row["7FE00010"]["BulkDataURI"] == path
    assert b"pacs.internal" not in given.body


def test_an_instance_has_its_own(viewer: Viewer, archive: Archive) -> None:
    uid = archive.instances[1].SOPInstanceUID
    (row,) = viewer.get(f"/dicomweb/studies/{MINE}/series/{SERIES}/instances/{uid}/metadata").json
    assert row["00080018"]["Value"] == [uid]


def test_bulk_data_inside_sequences_has_a_path_through_them(viewer: Viewer, archive: Archive) -> None:
    from pydicom.dataset import Dataset

    inner = Dataset()
    inner.add_new(0x54001010, "OW", b"\1\2" * 100)
    outer = Dataset()
    outer.WaveformSequence = [Dataset(), inner]
    archive.add(image("P1", MINE, "1.2.1.3", WaveformSequence=[outer]))
    (row,) = viewer.get(f"/dicomweb/studies/{MINE}/series/1.2.1.3/metadata").json
    found = row["54000100"]["Value"][0]["54000100"]["Value"][1]["54001010"]["BulkDataURI"]
    assert found.endswith("/bulkdata/54000100.0.54000100.1.54001010")


def test_many_callers_cost_the_pacs_one_request_and_one_search_each(viewer: Viewer, archive: Archive) -> None:
    first = viewer.get(SERIES_METADATA)
    for _ in range(3):
        assert viewer.get(SERIES_METADATA).body == first.body
    assert (archive.asked["metadata"], archive.asked["studies"]) == (1, 4)


def test_a_caller_who_has_it_is_told_so_by_one_search(viewer: Viewer, archive: Archive) -> None:
    tag = viewer.get(SERIES_METADATA).headers["ETag"]
    again = viewer.get(SERIES_METADATA, If_None_Match=tag)
    assert (again.status, again.body, archive.asked["metadata"]) == (304, b"", 1)
    assert viewer.get(SERIES_METADATA, If_None_Match='"other"').status == 200


def test_a_study_that_grows_or_shrinks_is_read_anew(viewer: Viewer, archive: Archive) -> None:
    tag = viewer.get(SERIES_METADATA).headers["ETag"]
    archive.add(image("P1", MINE, SERIES))
    grown = viewer.get(SERIES_METADATA, If_None_Match=tag)
    assert (grown.status, len(grown.json)) == (200, 3)
    archive.instances.remove(archive.instances[0])
    assert len(viewer.get(SERIES_METADATA).json) == 2


def test_a_study_that_is_corrected_is_read_anew(viewer: Viewer, archive: Archive) -> None:
    viewer.get(SERIES_METADATA)
    for dataset in archive.instances:
        dataset.PatientName = "RIGHT^NAME"
    assert all(row["00100010"]["Value"] == [{"Alphabetic": "RIGHT^NAME"}] for row in viewer.get(SERIES_METADATA).json)


def test_a_pacs_without_counts_is_counted(viewer: Viewer, archive: Archive) -> None:
    archive.counts = False
    viewer.get(SERIES_METADATA)
    archive.add(image("P1", MINE, SERIES))
    assert len(viewer.get(SERIES_METADATA).json) == 3


def test_a_study_of_more_series_than_are_counted_one_by_one_is_read_anew_too(viewer: Viewer, archive: Archive) -> None:
    archive.counts = False
    archive.add(*(image("P1", MINE, f"{SERIES}.{number}") for number in range(MOST_SEARCHES)))
    viewer.get(SERIES_METADATA)
    archive.add(image("P1", MINE, SERIES))
    assert len(viewer.get(SERIES_METADATA).json) == 3


def test_what_is_deleted_is_404_though_it_is_kept(viewer: Viewer, archive: Archive) -> None:
    viewer.get(SERIES_METADATA)
    archive.instances.clear()
    given = viewer.get(SERIES_METADATA)
    assert (given.status, given.json["code"]) == (404, "NOT_FOUND")
    assert kept()


@pytest.mark.parametrize("path", [f"{MINE}.9", f"{MINE}/series/9", f"{MINE}/series/{SERIES}/instances/9"])
def test_what_is_not_there_is_404(path: str, viewer: Viewer) -> None:
    given = viewer.get(f"/dicomweb/studies/{path}/metadata")
    assert (given.status, given.json["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("level", ["", f"/series/{SERIES}"])
def test_a_pacs_without_metadata_is_read_file_by_file_once(level: str, viewer: Viewer, archive: Archive) -> None:
    wanted = viewer.get(f"/dicomweb/studies/{MINE}{level}/metadata").json
    archive.lacks.add("metadata")
    archive.add(image("P1", MINE, SERIES))
    given = viewer.get(f"/dicomweb/studies/{MINE}{level}/metadata")
    assert given.status == 200, given.body
    found = {row["00080018"]["Value"][0]: row for row in given.json}
    assert len(found) == len(wanted) + 1
    for row in wanted:
        other = found[row["00080018"]["Value"][0]]
        # Which transfer syntax it has is said, too.
        assert row == {tag: value for tag, value in other.items() if tag != "00083002"}
    read = archive.asked["file"]
    viewer.get(f"/dicomweb/studies/{MINE}{level}/metadata")
    assert archive.asked["file"] == read == len(found)


@pytest.mark.parametrize(("status", "asked"), [(404, 1), (406, 2)])
def test_a_pacs_without_metadata_is_not_asked_for_those_of_each_instance(
    status: int, asked: int, viewer: Viewer, archive: Archive
) -> None:
    """GIVEN a PACS that lacks the service (404), or the media type (406, which is not remembered)."""
    archive.lacks.add("metadata")
    archive.lacking_status = status
    assert len(viewer.get(SERIES_METADATA).json) == 2
    assert archive.asked["metadata"] == 1
    assert len(viewer.get(f"/dicomweb/studies/{MINE}/metadata").json) == 3
    assert archive.asked["metadata"] == asked


def test_rows_are_compressed_for_callers_who_take_it(viewer: Viewer) -> None:
    plain = viewer.get(SERIES_METADATA)
    short = viewer.get(SERIES_METADATA, Accept_Encoding="gzip")
    assert json.loads(gzip.decompress(short.body)) == plain.json
    assert "Accept-Encoding" in short.headers["Vary"]


# ---- what a credential sees


def test_a_token_reads_its_own_study_and_no_other_exists(viewer: Viewer) -> None:
    assert len(viewer.get(SERIES_METADATA, context=viewer.token(MINE)).json) == 2
    for uid in (OTHER, "9.9"):
        given = viewer.get(f"/dicomweb/studies/{uid}/metadata", context=viewer.token(MINE))
        assert (given.status, given.json["code"], given.json["detail"]) == (
            404,
            "NOT_FOUND",
            "There is no such study.",
        )


def test_the_cache_of_staff_is_not_shown_to_the_token_of_another_patient(viewer: Viewer) -> None:
    viewer.get(SERIES_METADATA)
    given = viewer.get(SERIES_METADATA, context=viewer.token(MINE, "P2"))
    assert (given.status, given.json["code"]) == (403, "EXAM_SUSPENDED")


def test_an_instance_that_names_another_patient_ends_it_though_staff_cached_it(
    viewer: Viewer, archive: Archive
) -> None:
    """The search for the study may name one patient while a file in it names another."""
    viewer.get(SERIES_METADATA)
    revision = kept()
    assert len(revision) == 1
    wrong = image("P1", MINE, SERIES)
    archive.add(wrong)
    wrong.PatientID = "P2"
    archive.hook = lambda path: setattr(wrong, "PatientID", "P2" if path.endswith("metadata") else "P1")
    assert viewer.get(SERIES_METADATA).status == 200
    given = viewer.get(SERIES_METADATA, context=viewer.token(MINE))
    assert (given.status, given.json["code"]) == (403, "EXAM_SUSPENDED")


def test_a_token_for_pictures_does_not_reach_these_services(viewer: Viewer) -> None:
    for path in ("/dicomweb/studies", SERIES_METADATA, f"/dicomweb/studies/{OTHER}/metadata"):
        given = viewer.get(path, context=viewer.token(MINE, examRole="patient"))
        assert (given.status, given.json["code"]) == (403, "FORBIDDEN")
