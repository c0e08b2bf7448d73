"""The deployed service in front of a PACS without metadata, frames, pictures and counts, behind a password."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pydicom
import pytest
import requests
from PIL import Image

from dicom_service.part10 import BytesSource, read_header
from tests.support.exams import feed
from tests.support.faults import FaultyProxy
from tests.support.pictures import JPEG_TOLERANCE, mean_difference, reference_of, sample, scaled
from tests.support.stack import Stack
from tests.support.viewers import ANY_FRAME, Parts
from tests.support.waiting import wait_for

# Viewers who ask for the same frame in one moment.
VIEWERS = 20 if os.environ.get("SOAK") else 8
SAMPLES = ("CT_small.dcm", "emri_small.dcm", "JPEG2000.dcm")


def upload(stack: Stack, name: str) -> dict[str, str]:
    """Upload a sample file; give the fields of its path."""
    data = sample(name).read_bytes()
    given = stack.request("POST", "/exams", data=data, headers={"Content-Type": "application/dicom"})
    assert given.status_code == 200, given.text
    header = read_header(BytesSource(data))
    study = f"/exams/studies/{header.study_instance_uid}"
    series = f"{study}/series/{header.series_instance_uid}"
    return {
        "uid": header.study_instance_uid,
        "patient": header.patient_id,
        "study": study,
        "series": series,
        "instance": f"{series}/instances/{header.sop_instance_uid}",
    }


def test_the_pacs_asks_for_its_password_and_the_service_has_it(tiny_stack: Stack) -> None:
    assert not tiny_stack.orthanc.running
    assert requests.get(f"{tiny_stack.pacs.url}/studies", timeout=10).status_code == 401
    health = tiny_stack.request("GET", "/health", key=None)
    assert (health.status_code, health.json()["checks"]["pacs"]["status"]) == (200, "up")


@pytest.mark.parametrize("name", SAMPLES)
def test_pictures_are_true(tiny_stack: Stack, name: str) -> None:
    path = upload(tiny_stack, name)
    reference = reference_of(sample(name))
    assert reference is not None
    expected = scaled(reference, 256)

    for resource in (path["instance"], f"{path['series']}/thumbnail", f"{path['study']}/thumbnail"):
        shown = tiny_stack.request("GET", resource, params={"fileType": "image/jpeg"})
        assert (shown.status_code, shown.headers.get("X-Thumbnail")) == (200, "frame"), shown.text
        assert mean_difference(Image.open(BytesIO(shown.content)), expected) <= JPEG_TOLERANCE
    absent = tiny_stack.request("GET", f"{path['series']}/instances/1.2.3", params={"fileType": "image/jpeg"})
    assert absent.status_code == 404


def test_lists_have_counts_and_the_file_comes_back(tiny_stack: Stack) -> None:
    path = upload(tiny_stack, "CT_small.dcm")

    studies = tiny_stack.request("GET", f"/exams/studies?patientID={path['patient']}&format=simple").json()
    series = tiny_stack.request("GET", f"{path['study']}/series?format=simple").json()
    instances = tiny_stack.request("GET", f"{path['series']}/instances").json()
    file = tiny_stack.request("GET", path["instance"], params={"fileType": "application/dicom"})

    assert [row["StudyInstanceUID"] for row in studies] == [path["uid"]]
    assert (studies[0]["NumberOfStudyRelatedSeries"], studies[0]["NumberOfStudyRelatedInstances"]) == (1, 1)
    assert studies[0]["ModalitiesInStudy"] in ("CT", ["CT"])
    assert [row["NumberOfSeriesRelatedInstances"] for row in series] == [1]
    assert len(instances) == 1
    sent = sample("CT_small.dcm").read_bytes()
    assert sent[-32768:] in file.content
    assert tiny_stack.request("GET", "/exams/studies/1.2.3.4/series").status_code == 404


def test_an_exam_is_shared_and_announced(tiny_stack: Stack) -> None:
    path = upload(tiny_stack, "CT_small.dcm")
    issued = tiny_stack.request("POST", "/otps", json={"studyUID": path["uid"], "patientID": path["patient"]})
    assert issued.status_code == 201, issued.text
    granted = tiny_stack.request("POST", "/otps/redeem", key=None, json={"token": issued.json()["token"]})
    shown = tiny_stack.request("GET", f"{path['study']}/thumbnail", key=granted.json()["accessToken"])
    assert (shown.status_code, shown.headers["X-Thumbnail"]) == (200, "frame")

    def announced() -> bool:
        return any(event["data"].get("StudyInstanceUID") == path["uid"] for event in feed(tiny_stack))

    wait_for(announced)


def test_viewers_are_given_metadata_and_frames_out_of_the_file_which_is_fetched_once(
    tiny_stack: Stack, tiny_pacs: FaultyProxy
) -> None:
    path = upload(tiny_stack, "emri_small.dcm")
    stored = pydicom.dcmread(sample("emri_small.dcm"))
    uid, size = str(stored.SOPInstanceUID), len(stored.PixelData) // int(stored.NumberOfFrames)
    series = path["series"].replace("/exams/", "/dicomweb/", 1)
    frames = path["instance"].replace("/exams/", "/dicomweb/", 1) + "/frames"

    before = tiny_pacs.asked[uid]
    for _ in range(2):
        [row] = tiny_stack.request("GET", f"{series}/metadata").json()
        assert (row["00280008"]["Value"], row["00080018"]["Value"]) == ([10], [uid])
        assert row["7FE00010"]["BulkDataURI"].startswith(tiny_stack.api_url)
    assert tiny_pacs.asked[uid] == before + 1, "the second time from the cache"

    start = threading.Barrier(VIEWERS)

    def look(_: int) -> bytes:
        start.wait(60)
        given = tiny_stack.request("GET", f"{frames}/1", headers={"Accept": ANY_FRAME}, timeout=180)
        assert given.status_code == 200, given.text
        [frame] = Parts.of(given.headers["Content-Type"], given.content).bodies
        return frame

    with ThreadPoolExecutor(VIEWERS) as pool:
        assert list(pool.map(look, range(VIEWERS))) == [stored.PixelData[:size]] * VIEWERS
    for number in range(2, 11):
        given = tiny_stack.request("GET", f"{frames}/{number}", headers={"Accept": ANY_FRAME})
        wanted = stored.PixelData[size * (number - 1) : size * number]
        assert Parts.of(given.headers["Content-Type"], given.content).bodies == [wanted]
    assert tiny_pacs.asked[uid] == before + 2, "the file once, for all viewers and all frames"
    assert tiny_stack.request("GET", f"{frames}/11", headers={"Accept": ANY_FRAME}).status_code == 404
