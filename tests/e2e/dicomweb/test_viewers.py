"""Viewers of the deployed service, in front of a PACS that counts: what OHIF asks for, and many viewers at once."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import requests

from tests.support.deployed import variables
from tests.support.faults import FaultyProxy
from tests.support.otp_stack import issue, redeem, scaled
from tests.support.stack import Stack
from tests.support.viewer_exams import Exam, make_exam
from tests.support.viewers import ANY_FRAME, Parts

VIEWERS = scaled(6, 20)
FUNCTIONS = ("SearchDicomwebFunction", "RetrieveMetadataFunction", "RetrieveFramesFunction")
DICOM_JSON = "application/dicom+json"
# What OHIF 3.13.2 asks for when it opens the study of a token, as a browser sent it: the study twice, its
# series, the patient's other studies, the metadata of each series. Frames follow, many at once.
_FIELDS = "limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060%2C00080090%2C00100030"
OHIF = (
    f"/studies?{_FIELDS}&StudyInstanceUID={{study}}",
    f"/studies?{_FIELDS}&StudyInstanceUID={{study}}",
    "/studies/{study}/series?includefield=00080021%2C00080031%2C0008103E%2C00200011",
    f"/studies?00100020={{patient}}&{_FIELDS}",
)
FRAME = "multipart/related; type=application/octet-stream; transfer-syntax=*"


@pytest.fixture(scope="module")
def counted(stack: Stack) -> Iterator[FaultyProxy]:
    """The services for viewers ask the PACS through a proxy that counts."""
    with FaultyProxy(stack.pacs.url) as proxy, ExitStack() as changed:
        for function in FUNCTIONS:
            changed.enter_context(variables(stack, function, PACS_URL=proxy.url))
        yield proxy


def parts(given: requests.Response) -> list[bytes]:
    return Parts.of(given.headers["Content-Type"], given.content).bodies


def frame(stack: Stack, path: str, key: str) -> bytes:
    headers = {"Authorization": f"Bearer {key}", "Accept": ANY_FRAME}
    given = requests.get(f"{stack.api_url}{path}/frames/1", headers=headers, timeout=300)
    assert given.status_code == 200, given.text
    (body,) = parts(given)
    return body


def test_ohif_gets_what_it_asks_for(stack: Stack, counted: FaultyProxy, exam: Exam, other: Exam, token: str) -> None:
    """Its list, in its order, with the token of one exam while the PACS has others; the last search finds no other."""

    def ask(path: str, accept: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}", "Accept": accept}
        given = requests.get(f"{stack.api_url}/dicomweb{path}", headers=headers, timeout=300)
        assert given.status_code == 200, (path, given.text)
        return given

    paths = [path.format(study=exam.study, patient=exam.patient) for path in OHIF]
    first, again, series, priors = [ask(path, DICOM_JSON).json() for path in paths]
    assert first == again == priors
    assert [row["0020000D"]["Value"] for row in first] == [[exam.study]]
    assert {"00081030", "00080061", "00100010", "00100020", "00201206", "00201208"} <= first[0].keys()
    uids = {row["0020000E"]["Value"][0] for row in series}
    assert uids == {str(each.SeriesInstanceUID) for each in (*exam.slices, exam.multiframe, exam.compressed)}
    rows = [row for uid in uids for row in ask(f"/studies/{exam.study}/series/{uid}/metadata", DICOM_JSON).json()]
    images = [*exam.slices, exam.multiframe, exam.compressed]
    assert {row["00080018"]["Value"][0] for row in rows} == {str(each.SOPInstanceUID) for each in images}
    frames = [f"{exam.path(each)}/frames/1".removeprefix("/dicomweb") for each in images]
    with ThreadPoolExecutor(len(frames)) as pool:
        bodies = [part for given in pool.map(lambda path: ask(path, FRAME), frames) for part in parts(given)]
    assert bodies[: len(exam.slices)] == [each.PixelData for each in exam.slices]
    assert bodies[len(exam.slices)] == exam.multiframe.PixelData[: 32 * 32]
    assert len(bodies) == len(images)
    assert other.study not in "".join(counted.paths)
    assert stack.request("GET", f"/dicomweb/studies/{other.study}/series").status_code == 200
    assert other.study in "".join(counted.paths), "the control: what staff look at is counted"


def test_of_many_viewers_each_sees_all_of_it_and_the_pacs_is_asked_once(stack: Stack, counted: FaultyProxy) -> None:
    exam = make_exam(stack, "CANARY-VIEW-MANY")
    token = redeem(stack, issue(stack, exam.stored, role="diagnostic"))
    start = threading.Barrier(VIEWERS)

    def view(number: int) -> list[bytes]:
        key = token if number % 2 else stack.service_key
        start.wait(60)
        url = f"{stack.api_url}/dicomweb/studies/{exam.study}/series/{exam.series}/metadata"
        rows = requests.get(url, headers={"Authorization": f"Bearer {key}"}, timeout=300)
        assert (rows.status_code, len(rows.json())) == (200, len(exam.slices)), rows.text
        return [frame(stack, exam.path(each), key) for each in exam.slices]

    with ThreadPoolExecutor(VIEWERS) as pool:
        seen = list(pool.map(view, range(VIEWERS)))
    assert seen == [[each.PixelData for each in exam.slices]] * VIEWERS
    asked = {path: count for path, count in counted.paths.items() if exam.study in path}
    wanted = [f"/studies/{exam.study}/series/{exam.series}/metadata"]
    wanted += [exam.path(each, "/frames/1").removeprefix("/dicomweb") for each in exam.slices]
    assert asked == dict.fromkeys(wanted, 1)
