"""A token on every route of a foreign study, nonsense in every place, many callers of one object: deployed."""

import random
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from dicom_service import aws
from dicom_service.contract import contract
from dicom_service.exams.instance_cache import CacheSettings
from dicom_service.origin_server.shared_cache import VERSION, Entry, SharedCache
from local.settings import ADMINISTRATOR, REGION
from tests.support.stack import Stack
from tests.support.viewer_exams import Exam

ROUTES = sorted(path for path in contract()["paths"] if path.startswith("/dicomweb/"))
VIEWERS = 20


def filled(route: str, exam: Exam) -> str:
    first = exam.slices[0]
    values = {
        "studyUID": exam.study,
        "seriesUID": exam.series,
        "instanceUID": str(first.SOPInstanceUID),
        "frameList": "1",
        "bulkPath": "7FE00010",
    }
    return route.replace("{", "{0[").replace("}", "]}").format(values)


@pytest.mark.parametrize("route", [route for route in ROUTES if "{studyUID}" in route])
def test_a_token_on_each_route_of_another_study_finds_nothing_there(
    route: str, stack: Stack, token: str, exam: Exam, other: Exam
) -> None:
    foreign = stack.request("GET", filled(route, other), key=token)
    nowhere = stack.request("GET", filled(route, other).replace(other.study, "1.2.3.4"), key=token)
    assert (foreign.status_code, foreign.json()["code"]) == (404, "NOT_FOUND")
    # Whether it is there or not cannot be told.
    assert {**foreign.json(), "requestId": ""} == {**nowhere.json(), "requestId": ""}
    assert stack.request("GET", filled(route, other)).status_code == 200, "the control: staff find it"
    assert stack.request("GET", filled(route, exam), key=token).status_code == 200, "and the token its own"


@pytest.mark.parametrize("route", ROUTES)
def test_other_credentials(route: str, stack: Stack, exam: Exam, patient_token: str) -> None:
    path = filled(route, exam)
    assert stack.request("GET", path, key=None).status_code == 401
    assert stack.request("GET", path, key=stack.callback_key).status_code == 403
    assert stack.request("GET", path, key=patient_token).status_code == 403
    for method in ("POST", "PUT", "DELETE"):
        assert stack.request(method, path).status_code == 405


def test_the_uids_of_the_own_study_do_not_open_what_is_below_another(
    stack: Stack, token: str, exam: Exam, other: Exam
) -> None:
    """Series and instance of another exam below the own study, and the reverse."""
    mixed = other.path(other.slices[0], "/frames/1").replace(other.study, exam.study)
    assert stack.request("GET", mixed, key=token).status_code == 404
    for tail in ("/metadata", "", "/bulkdata/7FE00010"):
        path = other.path(other.slices[0], tail).replace(other.study, exam.study)
        assert stack.request("GET", path, key=token).status_code == 404, tail


@pytest.mark.parametrize(
    "query",
    [
        "StudyInstanceUID={other}",
        "0020000D={other}",
        "PatientID={patient}",
        "StudyInstanceUID={other}&includefield=all",
        "StudyInstanceUID={other}&limit=0",
    ],
)
def test_a_search_for_another_study_is_empty(query: str, stack: Stack, token: str, other: Exam) -> None:
    path = "/dicomweb/studies?" + query.format(other=other.study, patient=other.patient)
    given = stack.request("GET", path, key=token)
    assert (given.status_code, given.content) == (204, b"")
    assert other.study in stack.request("GET", path).text, "the control: staff find it"


def test_nonsense_is_never_an_error_of_the_service(stack: Stack, token: str, exam: Exam) -> None:
    """UIDs, numbers, ranges and Accept headers at random: an error of the caller, or an answer, but no 5xx."""
    chance = random.Random(20261128)
    pieces = [
        "1.2",
        "..",
        "%2e%2e",
        "*",
        "0",
        "-1",
        "1,2",
        "🙂",
        "'",
        "%00",
        "a" * 70,
        ";",
        "9" * 65,
        "%2F",
        "1.02",
        " ",
    ]
    accepts = ["multipart/related", "type=", '"', ";", ",", "q=0.5", "*/*", "image/jls", "transfer-syntax=*", "=", "/"]
    seen: dict[int, int] = {}
    for number in range(150):
        route = chance.choice(ROUTES)
        path = filled(route, exam).split("/")
        for _ in range(chance.randint(0, 2)):
            place = chance.randrange(2, len(path))
            path[place] = chance.choice(pieces)
        accept = "".join(chance.choice(accepts) for _ in range(chance.randint(0, 6)))
        # The local gateway leaves bodies in base64 where Accept begins with nothing, so they are not unpacked here.
        headers = {
            "Accept": accept,
            "Accept-Encoding": "identity",
            "Range": f"bytes={chance.choice(['0-1', '-1', 'x'])}",
        }
        given = stack.request("GET", "/".join(path), key=token if number % 2 else "", headers=headers)
        assert given.status_code < 500, ("/".join(path), accept, given.text)
        seen[given.status_code] = seen.get(given.status_code, 0) + 1
    assert {200, 400, 404} <= seen.keys(), seen


@pytest.fixture
def bucket(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> str:
    values = {**ADMINISTRATOR, "AWS_ENDPOINT_URL": stack.values["AWS_ENDPOINT_URL"], "AWS_DEFAULT_REGION": REGION}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    aws.forget_clients()
    name = f"viewers-{uuid.uuid4().hex}"
    stack.client("s3").create_bucket(Bucket=name)
    return name


@pytest.mark.parametrize("guarded", [True, False])
def test_of_many_callers_one_asks_the_pacs(guarded: bool, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control has no condition on its write, and asks many times."""
    made: list[int] = []
    start = threading.Barrier(VIEWERS)
    if not guarded:
        monkeypatch.setattr(SharedCache, "_lease", lambda *_: True)

    def make() -> Entry:
        made.append(1)
        threading.Event().wait(0.3)
        return Entry(b"a frame", {"of": "a study"})

    def ask(_: int) -> Entry:
        start.wait(60)
        return SharedCache(CacheSettings(bucket)).get(f"key of {guarded}", make)

    with ThreadPoolExecutor(VIEWERS) as pool:
        entries = list(pool.map(ask, range(VIEWERS)))
    assert {(entry.body, entry.attributes["of"]) for entry in entries} == {(b"a frame", "a study")}
    assert (len(made) == 1) is guarded
    assert (len({entry.attributes[VERSION] for entry in entries}) == 1) is guarded
