"""An exam goes in, is listed, shown and fetched, through the deployed service and a real PACS."""

from io import BytesIO
from pathlib import Path

import pytest
import requests
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file

from tests.support.dicom_files import dataset, element, part10
from tests.support.exams import upload_to_pacs
from tests.support.stack import Stack

CT_FILE = Path(str(get_testdata_file("CT_small.dcm")))
CT = dcmread(CT_FILE)
SERIES = f"/exams/studies/{CT.StudyInstanceUID}/series/{CT.SeriesInstanceUID}"


@pytest.fixture(scope="module")
def uploaded(stack: Stack) -> Stack:
    """The stack with CT_small.dcm in it, as a form upload."""
    given = stack.request("POST", "/exams", files={"anything": ("CT_small.dcm", CT_FILE.read_bytes())})
    assert given.status_code == 200, given.text
    (stored,) = given.json()[0]["00081199"]["Value"]
    assert stored["00081155"]["Value"] == [CT.SOPInstanceUID]
    return stack


def test_it_is_listed_by_patient_in_both_formats(uploaded: Stack) -> None:
    by_patient = uploaded.request("GET", "/exams/studies", params={"patientId": CT.PatientID})
    assert [study["0020000D"]["Value"] for study in by_patient.json()] == [[CT.StudyInstanceUID]]
    simple = uploaded.request("GET", "/exams/studies", params={"PATIENTID": CT.PatientID, "format": "simple"})
    assert simple.json()[0]["PatientName"] == str(CT.PatientName)
    nobody = uploaded.request("GET", "/exams/studies", params={"patientID": "nobody"})
    assert (nobody.status_code, nobody.json()) == (200, [])


@pytest.mark.parametrize(
    "filters",
    [
        {"patientName": "CompressedSamples*"},
        {"patientName": "compressedsamples^ct1"},
        {"from": "2004-01-19", "to": "20040119"},
        {"modality": "CT", "patientID": "1CT1"},
        {"studyUID": CT.StudyInstanceUID},
    ],
    ids=["wildcard", "case", "dates", "modality", "uid"],
)
def test_each_filter_finds_it(uploaded: Stack, filters: dict[str, str]) -> None:
    found = uploaded.request("GET", "/exams/studies", params={**filters, "format": "simple"}).json()
    assert CT.StudyInstanceUID in [study["StudyInstanceUID"] for study in found]


def test_series_and_instances_are_checked_against_the_patient(uploaded: Stack) -> None:
    for path in (f"/exams/studies/{CT.StudyInstanceUID}/series", f"{SERIES}/instances"):
        plain = uploaded.request("GET", path)
        assert len(plain.json()) >= 1
        for name in ("patientID", "patientId", "PatientId", "PATIENTID"):
            own = uploaded.request("GET", path, params={name: CT.PatientID})
            assert (own.status_code, own.json()) == (200, plain.json()), name
            foreign = uploaded.request("GET", path, params={name: "nobody"})
            assert (foreign.status_code, foreign.json()["code"]) == (404, "NOT_FOUND"), name


def test_a_filter_that_does_not_fit_does_not_find_it(uploaded: Stack) -> None:
    for filters in ({"from": "2004-01-20"}, {"modality": "MR", "patientID": "1CT1"}, {"patientName": "Someone*"}):
        found = uploaded.request("GET", "/exams/studies", params={**filters, "format": "simple"}).json()
        assert CT.StudyInstanceUID not in [study.get("StudyInstanceUID") for study in found]


def test_each_filter_narrows_and_is_not_ignored(stack: Stack) -> None:
    # GIVEN two exams of one patient that differ in one value each
    root = "1.2.826.0.1.3680043.9.6"
    for number, accession in ((1, b"FILTER-A"), (2, b"FILTER-B")):
        uid = f"{root}.{number}".encode()
        own = dataset(
            PatientID=b"FILTERED", StudyInstanceUID=uid, SOPInstanceUID=uid + b".1", AccessionNumber=accession
        )
        file = part10(own)
        assert stack.request("POST", "/exams", files={"file": file}).status_code == 200

    def found(**filters: str) -> list[str]:
        given = stack.request("GET", "/exams/studies", params={"format": "simple", **filters})
        return sorted(study["StudyInstanceUID"] for study in given.json())

    # THEN each filter finds just its own
    assert found(patientID="FILTERED") == [f"{root}.1", f"{root}.2"]
    assert found(studyUID=f"{root}.1") == [f"{root}.1"]
    assert found(accessionNumber="FILTER-B") == [f"{root}.2"]
    assert found(patientID="FILTERED", accessionnumber="FILTER-A") == [f"{root}.1"]
    assert found(studyUID=f"{root}.1", accessionNumber="FILTER-B") == []


def test_series_and_instances_are_listed(uploaded: Stack) -> None:
    series = uploaded.request("GET", f"/exams/studies/{CT.StudyInstanceUID}/series").json()
    assert [one["0020000E"]["Value"] for one in series] == [[CT.SeriesInstanceUID]]
    instances = uploaded.request("GET", f"{SERIES}/instances", params={"format": "simple"}).json()
    assert [one["SOPInstanceUID"] for one in instances] == [CT.SOPInstanceUID]
    # and the link that comes with it leads back to the file
    link = instances[0]["RetrieveURL"]
    fetched = requests.get(link, headers={"Authorization": f"Bearer {uploaded.service_key}"}, timeout=60)
    assert dcmread(BytesIO(fetched.content)).PixelData == CT.PixelData


@pytest.mark.parametrize("spelling", ["instance", "instances"])
def test_the_file_comes_back_with_the_same_pixel_data(uploaded: Stack, spelling: str) -> None:
    path = f"{SERIES}/{spelling}/{CT.SOPInstanceUID}"
    given = uploaded.request("GET", path, params={"fileType": "application/dicom"})
    assert (given.status_code, given.headers["Content-Type"]) == (200, "application/dicom")
    assert dcmread(BytesIO(given.content)).PixelData == CT.PixelData


def test_its_picture_is_small_tagged_and_not_sent_twice(uploaded: Stack) -> None:
    path = f"{SERIES}/instances/{CT.SOPInstanceUID}"
    given = uploaded.request("GET", path, params={"fileType": "image/jpeg", "size": "64"})
    assert Image.open(BytesIO(given.content)).size == (64, 64)
    assert given.headers["X-Thumbnail"] == "frame"
    again = uploaded.request(
        "GET", path, params={"fileType": "image/jpeg", "size": "64"}, headers={"If-None-Match": given.headers["ETag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", [f"/exams/studies/{CT.StudyInstanceUID}", SERIES])
def test_exam_and_series_have_thumbnails(uploaded: Stack, path: str) -> None:
    given = uploaded.request("GET", f"{path}/thumbnail", params={"fileType": "image/png"})
    assert given.status_code == 200
    shown = Image.open(BytesIO(given.content))
    assert (shown.format, shown.size) == ("PNG", (128, 128))


def test_many_exams_come_in_pages_that_a_client_can_follow(stack: Stack) -> None:
    # GIVEN seven exams of one patient, in one form
    uids = [f"1.2.826.0.1.3680043.9.1.{number}" for number in range(7)]
    files = {
        uid: (
            uid,
            part10(dataset(PatientID=b"PAGED", StudyInstanceUID=uid.encode(), SOPInstanceUID=uid.encode() + b".1")),
        )
        for uid in uids
    }
    given = stack.request("POST", "/exams", files=files)
    assert given.status_code == 200, given.text
    # WHEN they are listed three at a time
    path, found, pages = "/exams/studies?patientID=PAGED&limit=3&format=simple", [], 0
    while path:
        given = stack.request("GET", path)
        found += [study["StudyInstanceUID"] for study in given.json()]
        pages += 1
        path = given.links.get("next", {}).get("url", "").removeprefix(stack.api_url)
    # THEN each is there once
    assert (sorted(found), pages) == (sorted(uids), 3)


def test_a_file_above_the_answers_limit_comes_by_a_link_that_only_works_as_given(stack: Stack) -> None:
    pixels = bytes(range(256)) * 40_000
    uid = "1.2.826.0.1.3680043.9.2"
    image = dataset(SOPInstanceUID=uid.encode(), StudyInstanceUID=uid.encode() + b".1")
    file = part10(image + element(0x7FE00010, b"OW", pixels))
    upload_to_pacs(stack, [file])
    path = f"/exams/studies/{uid}.1/series/1.2.3.4/instances/{uid}"
    given = stack.request("GET", path, params={"fileType": "application/dicom"})
    assert given.status_code == 303
    link = given.headers["Location"]
    assert requests.get(link, timeout=60).content.endswith(pixels)
    assert requests.get(link.partition("?")[0], timeout=60).status_code == 403
    assert requests.get(link[:-4] + "0000", timeout=60).status_code == 403
