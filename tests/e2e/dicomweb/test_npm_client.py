"""Every verb of `dicomweb-client` (npm), in Node, against the deployed service in front of a real PACS."""

import base64
import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local.settings import SHARED
from tests.support.stack import Stack
from tests.support.viewer_exams import Exam
from tests.support.viewers import file_of
from web.npm import fetch

SUPPORT = Path(__file__).parents[2] / "support"
# What the package has besides makes URLs of a service that is older than DICOMweb, and sets what it logs.
NOT_OFFERED = {
    "retrieveStudy": 404,
    "retrieveSeries": 404,
    "retrieveInstanceFramesThumbnail": 404,
    "storeInstances": 405,
}
JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("npm")
    with fetch(SUPPORT / "dicomweb_client.json", SHARED / "downloads") as archive:
        archive.extractall(folder)
    return folder / "package"


def call(package: Path, stack: Stack, token: str, calls: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Call the verbs one after the other, in one process of the Node that Playwright brings."""
    from playwright._impl._driver import compute_driver_executable

    asked = {"folder": str(package), "url": f"{stack.api_url}/dicomweb", "token": token, "calls": calls}
    done = subprocess.run(
        [compute_driver_executable()[0], str(SUPPORT / "npm_client.cjs")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    # The package says on standard output that it stores something.
    results: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return results


def verbs(stack: Stack, exam: Exam) -> dict[str, dict[str, Any]]:
    """Every verb that asks for something of an exam, with its options."""
    first, many = exam.slices[0], exam.multiframe
    study = {"studyInstanceUID": exam.study}
    series = {**study, "seriesInstanceUID": exam.series}
    one = {**series, "sopInstanceUID": str(first.SOPInstanceUID)}
    frames = {
        **study,
        "seriesInstanceUID": str(many.SeriesInstanceUID),
        "sopInstanceUID": str(many.SOPInstanceUID),
        "frameNumbers": [1, 3],
    }
    return {
        "searchForSeries": study,
        "searchForInstances": series,
        "retrieveStudyMetadata": study,
        "retrieveSeriesMetadata": series,
        "retrieveInstanceMetadata": one,
        "retrieveInstanceFrames": frames,
        "retrieveInstanceRendered": {**one, "mediaTypes": [{"mediaType": "image/png"}]},
        "retrieveInstanceThumbnail": one,
        "retrieveInstanceFramesRendered": {**frames, "frameNumbers": [2]},
        "retrieveInstance": one,
        "retrieveBulkData": {"BulkDataURI": stack.api_url + exam.path(first, "/bulkdata/7FE00010")},
        "retrieveStudy": study,
        "retrieveSeries": series,
        "retrieveInstanceFramesThumbnail": {**frames, "frameNumbers": [2]},
        "storeInstances": {"datasets": [base64.b64encode(file_of(first)).decode()]},
    }


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("who", ["staff", "token"])
def test_every_verb(who: str, package: Path, stack: Stack, exam: Exam, token: str) -> None:
    asked = verbs(stack, exam)
    search = {"queryParams": {"StudyInstanceUID": exam.study}}
    calls = [("searchForStudies", search), *asked.items()]
    results = call(package, stack, token if who == "token" else stack.service_key, calls)
    found = {name: result for (name, _), result in zip(calls, results, strict=True)}

    assert {name: found.pop(name)["status"] for name in NOT_OFFERED} == NOT_OFFERED
    values = {name: result["value"] for name, result in found.items()}
    first, many = exam.slices[0], exam.multiframe
    [study] = values["searchForStudies"]
    assert study["0020000D"]["Value"] == [exam.study]
    rows = {name: len(values[name]) for name in values if name.startswith("search") or name.endswith("Metadata")}
    assert rows == {
        "searchForStudies": 1,
        "searchForSeries": 3,
        "searchForInstances": 6,
        "retrieveStudyMetadata": 8,
        "retrieveSeriesMetadata": 6,
        "retrieveInstanceMetadata": 1,
    }
    assert values["retrieveInstanceMetadata"][0]["00080018"]["Value"] == [str(first.SOPInstanceUID)]
    assert values["retrieveInstanceFrames"] == [digest(many.PixelData[:1024]), digest(many.PixelData[2048:3072])]
    assert values["retrieveBulkData"] == [digest(first.PixelData)]
    same = stack.request("GET", exam.path(first), headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert values["retrieveInstance"] == digest(same.content)
    for name, tail, kind in (
        ("retrieveInstanceRendered", "/rendered", "image/png"),
        ("retrieveInstanceThumbnail", "/thumbnail", "image/jpeg"),
    ):
        picture = stack.request("GET", exam.path(first, tail), headers={"Accept": kind}).content
        assert picture.startswith(PNG if kind == "image/png" else JPEG)
        assert values[name] in (digest(picture), [digest(picture)]), name
    picture = stack.request("GET", exam.path(many, "/frames/2/rendered"), headers={"Accept": "image/jpeg"}).content
    assert values["retrieveInstanceFramesRendered"] in (digest(picture), [digest(picture)])


def test_a_token_is_given_nothing_of_another_exam_by_any_verb(
    package: Path, stack: Stack, other: Exam, token: str
) -> None:
    asked = {name: options for name, options in verbs(stack, other).items() if name not in NOT_OFFERED}
    searches = [
        ("searchForStudies", {"queryParams": {name: value}})
        for name, value in (("StudyInstanceUID", other.study), ("PatientID", other.patient))
    ]
    refused = call(package, stack, token, [*searches, *asked.items()])
    assert refused == [{"value": []}] * 2 + [{"status": 404}] * len(asked)
    control = call(package, stack, stack.service_key, [*searches, *asked.items()])
    assert all(result.get("value") for result in control), "the control: staff find it"
