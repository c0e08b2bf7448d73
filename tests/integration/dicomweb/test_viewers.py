"""The services for viewers in front of a real Orthanc that counts requests: frame by frame, once, until it grows."""

import json
from collections.abc import Iterator

import pytest
import requests
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from dicom_service import aws
from local.orthanc import Orthanc
from tests.support.faults import FaultyProxy
from tests.support.viewer_calls import Viewer, viewing
from tests.support.viewers import ANY_FRAME, Parts, file_of, image

FRAMES = 12


@pytest.fixture
def proxy(orthanc: Orthanc) -> Iterator[FaultyProxy]:
    with FaultyProxy(orthanc.pacs().url) as proxy:
        yield proxy


@pytest.fixture
def viewer(orthanc: Orthanc, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Viewer]:
    pacs = orthanc.pacs()
    settings = {"PACS_AUTH": "basic", "PACS_SECRET_ARN": "pacs", "PACS_QUIRKS": pacs.quirks}
    with viewing(monkeypatch, proxy.url, **settings) as viewer:
        secret = json.dumps({"username": pacs.user, "password": pacs.password})
        aws.secretsmanager().create_secret(Name="pacs", SecretString=secret)
        yield viewer


def store(orthanc: Orthanc, dataset: Dataset) -> None:
    pacs = orthanc.pacs()
    url = f"{orthanc.url}/instances"
    requests.post(url, data=file_of(dataset), auth=(pacs.user, pacs.password), timeout=30).raise_for_status()


def test_frames_come_one_by_one_and_the_file_never(viewer: Viewer, proxy: FaultyProxy, orthanc: Orthanc) -> None:
    stored = image("P1", rows=64, columns=64, frames=FRAMES, bits=8)
    store(orthanc, stored)
    uid = str(stored.SOPInstanceUID)
    path = f"/dicomweb/studies/{stored.StudyInstanceUID}/series/{stored.SeriesInstanceUID}/instances/{uid}/frames"
    for _ in range(2):
        for number in (1, 7, FRAMES):
            given = viewer.get(f"{path}/{number}", Accept=ANY_FRAME)
            wanted = stored.PixelData[4096 * (number - 1) : 4096 * number]
            assert Parts.of(given.headers["Content-Type"], given.body).bodies == [wanted]
    # One request for each frame, the second time none; the file itself was never asked for.
    assert {last: count for last, count in proxy.asked.items() if last.isdigit()} == {"1": 1, "7": 1, str(FRAMES): 1}
    assert proxy.asked[uid] == 0


def test_a_study_that_grows_is_read_anew_and_otherwise_once(
    viewer: Viewer, proxy: FaultyProxy, orthanc: Orthanc
) -> None:
    study, series = generate_uid(), generate_uid()
    for known in (1, 2, 3):
        store(orthanc, image("P1", study, series, seed=known))
        for path in (f"/dicomweb/studies/{study}/metadata", f"/dicomweb/studies/{study}/series/{series}/metadata"):
            tags = set()
            for _ in range(3):
                given = viewer.get(path)
                assert len(given.json) == known
                tags.add(given.headers["ETag"])
            assert len(tags) == 1
    assert proxy.asked["metadata"] == 3 * 2
