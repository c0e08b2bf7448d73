"""Nobody takes an instance or a study away: one SOPInstanceUID is one content of one study, one study is one patient's.

``SOAK=1`` raises the number of races.
"""

import os
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.support.deployed import variables
from tests.support.dicom_files import dataset, element, part10
from tests.support.exams import upload_to_pacs
from tests.support.faults import FaultyProxy
from tests.support.stack import Stack
from tests.support.staged import stage_all
from tests.support.upload_files import zipped

SOAK = bool(os.environ.get("SOAK"))
WRITERS = 16
RACES = 25 if SOAK else 2
DICOM = {"Content-Type": "application/dicom"}
Bring = Callable[[Stack, list[bytes]], list[str | None]]


def new_uid() -> str:
    return f"2.25.{uuid.uuid4().int}"


def file(
    study: str, instance: str, *, patient: str = "CONFLICT-A", comment: bytes = b"first", meta: bytes = b""
) -> bytes:
    body = dataset(
        StudyInstanceUID=study.encode(),
        SeriesInstanceUID=f"{study}.1".encode(),
        SOPInstanceUID=instance.encode(),
        PatientID=patient.encode(),
    )
    whole = part10(body + element(0x00204000, b"LT", comment))
    if not meta:
        return whole
    # Another program wrote the file: an element more in the file meta information, whose length follows.
    syntax = whole[144 : whole.index(b"\x08\x00\x16\x00")]
    more = syntax + element(0x00020013, b"SH", meta)
    return whole[:132] + element(0x00020000, b"UL", len(more).to_bytes(4, "little")) + more + whole[144 + len(syntax) :]


def post(stack: Stack, content: bytes) -> requests.Response:
    return stack.request("POST", "/exams", data=content, headers=DICOM)


def past_the_service(stack: Stack, content: bytes) -> None:
    upload_to_pacs(stack, [content])


def fetched(stack: Stack, study: str, instance: str) -> requests.Response:
    path = f"/exams/studies/{study}/series/{study}.1/instances/{instance}"
    return stack.request("GET", path, params={"fileType": "application/dicom"})


def by_post(stack: Stack, contents: list[bytes]) -> list[str | None]:
    """The codes by which each file was refused, one request each."""
    answers = [post(stack, content) for content in contents]
    return [None if answer.status_code == 200 else answer.json()["code"] for answer in answers]


def by_upload(stack: Stack, contents: list[bytes]) -> list[str | None]:
    return [found.get("reason") for found in stage_all(stack, contents)]


def by_zip(stack: Stack, contents: list[bytes]) -> list[str | None]:
    (ended,) = stage_all(stack, [zipped({f"IM{n}": content for n, content in enumerate(contents)})])
    refused: Counter[str] = Counter(ended.get("reasons") or {})
    return [*refused.elements(), *[None] * (len(contents) - sum(refused.values()))]


WAYS = pytest.mark.parametrize("bring", [by_post, by_upload, by_zip])


@WAYS
def test_an_instance_cannot_be_taken_into_another_study(stack: Stack, bring: Bring) -> None:
    victim, attacker, instance = new_uid(), new_uid(), new_uid()
    assert bring(stack, [file(victim, instance)]) == [None]
    assert bring(stack, [file(attacker, instance, patient="CONFLICT-B")]) == ["SOP_INSTANCE_DIFFERS"]
    given = fetched(stack, victim, instance)
    assert given.status_code == 200
    assert b"CONFLICT-A" in given.content


@WAYS
def test_what_came_to_the_pacs_past_the_service_is_as_safe(stack: Stack, bring: Bring) -> None:
    victim, attacker, instance = new_uid(), new_uid(), new_uid()
    past_the_service(stack, file(victim, instance))
    assert bring(stack, [file(attacker, instance)]) == ["SOP_INSTANCE_DIFFERS"]
    assert bring(stack, [file(victim, instance, comment=b"other")]) == ["SOP_INSTANCE_DIFFERS"]
    assert bring(stack, [file(victim, instance)]) == [None]
    assert fetched(stack, victim, instance).status_code == 200


@WAYS
def test_another_content_in_the_same_study_is_refused_and_the_same_is_harmless(stack: Stack, bring: Bring) -> None:
    study, instance = new_uid(), new_uid()
    assert bring(stack, [file(study, instance)]) == [None]
    assert bring(stack, [file(study, instance, comment=b"second")]) == ["SOP_INSTANCE_DIFFERS"]
    assert bring(stack, [file(study, instance)]) == [None]
    assert bring(stack, [file(study, instance, meta=b"OTHER_WRITER")]) == [None]
    assert b"first" in fetched(stack, study, instance).content


@WAYS
def test_a_study_belongs_to_one_patient(stack: Stack, bring: Bring) -> None:
    study = new_uid()
    assert bring(stack, [file(study, new_uid())]) == [None]
    assert bring(stack, [file(study, new_uid(), patient="CONFLICT-B")]) == ["STUDY_OF_ANOTHER_PATIENT"]
    assert bring(stack, [file(study, new_uid())]) == [None]
    found = stack.pacs_request("GET", f"/studies?StudyInstanceUID={study}").json()
    assert [row["00100020"]["Value"] for row in found] == [["CONFLICT-A"]]


@pytest.mark.parametrize("bring", [by_upload, by_zip])
def test_two_patients_for_one_study_in_one_upload(stack: Stack, bring: Bring) -> None:
    study = new_uid()
    told = bring(stack, [file(study, new_uid()), file(study, new_uid(), patient="CONFLICT-B")])
    assert Counter(told) == {None: 1, "STUDY_OF_ANOTHER_PATIENT": 1}
    assert len(stack.pacs_request("GET", f"/studies?StudyInstanceUID={study}").json()) == 1


def test_two_patients_for_one_study_in_one_request_store_nothing(stack: Stack) -> None:
    study, first, second = new_uid(), new_uid(), new_uid()
    forms = {"a": ("a.dcm", file(study, first)), "b": ("b.dcm", file(study, second, patient="CONFLICT-B"))}
    given = stack.request("POST", "/exams", files=forms)
    assert (given.status_code, given.json()["code"]) == (409, "STUDY_OF_ANOTHER_PATIENT")
    assert [entry["file"] for entry in given.json()["errors"]] == ["b.dcm"]
    assert not stack.pacs_request("GET", f"/studies?StudyInstanceUID={study}").content.strip(b"[]\n ")


def test_control_past_the_service_the_attack_succeeds(stack: Stack) -> None:
    victim, attacker, instance = new_uid(), new_uid(), new_uid()
    past_the_service(stack, file(victim, instance))
    past_the_service(stack, file(attacker, instance))
    path = f"/studies/{victim}/series/{victim}.1/instances/{instance}"
    assert stack.pacs_request("GET", path).status_code == 404
    # AND the service gives each what is its own all the same
    for study in (victim, attacker):
        given = fetched(stack, study, instance)
        assert given.status_code == 200, given.text
        assert study.encode() in given.content


def test_what_the_pacs_calls_a_duplicate_is_stored_only_with_the_same_content(stack: Stack) -> None:
    # GIVEN a PACS that finds nothing in a search, and says 0111 ("duplicate") of an instance that it has
    study, instance = new_uid(), new_uid()
    past_the_service(stack, file(study, instance))
    with FaultyProxy(stack.pacs.url) as proxy, variables(stack, "UploadExamFunction", PACS_URL=proxy.url):
        proxy.lacks = {"instances": 204, "studies": 204}
        proxy.script(["duplicate"] * 2)
        # WHEN a file with that SOPInstanceUID and another content comes, and one with the same
        other = post(stack, file(study, instance, comment=b"other"))
        same = post(stack, file(study, instance))
        met = proxy.met["duplicate"]
    # THEN the one is told as not stored, the other as stored
    assert met == 2
    assert (other.status_code, other.json()["code"]) == (409, "PACS_STORED_NONE")
    assert same.status_code == 200, same.text
    assert b"first" in fetched(stack, study, instance).content


@pytest.mark.parametrize("race", range(RACES))
def test_of_two_contents_and_two_studies_at_once_one_wins(stack: Stack, race: int) -> None:
    # GIVEN 16 writers at once: two contents of one study, and the same UID under another study
    study, other, instance = new_uid(), new_uid(), new_uid()
    contents = [
        file(study, instance, comment=b"one"),
        file(study, instance, comment=b"two"),
        file(other, instance, comment=b"one"),
        file(other, instance, comment=b"two"),
    ]
    with ThreadPoolExecutor(WRITERS) as writers:
        told = list(writers.map(lambda n: (n % 4, post(stack, contents[n % 4])), range(WRITERS)))
    # THEN those with one and the same content were stored, all others are told so
    won = {which for which, answer in told if answer.status_code == 200}
    codes = Counter(answer.json()["code"] for _, answer in told if answer.status_code != 200)
    assert len(won) == 1
    assert codes == {"SOP_INSTANCE_DIFFERS": WRITERS - WRITERS // 4}
    # AND the PACS has that one, and no other
    places = stack.pacs_request("GET", f"/instances?SOPInstanceUID={instance}").json()
    assert len(places) == 1
    (winner,) = won
    given = fetched(stack, study if winner < 2 else other, instance)
    assert (b"one" if winner % 2 == 0 else b"two") in given.content


@pytest.mark.parametrize("race", range(RACES))
def test_of_two_patients_at_once_one_gets_the_study(stack: Stack, race: int) -> None:
    study = new_uid()
    with ThreadPoolExecutor(WRITERS) as writers:
        told = list(
            writers.map(lambda n: (n % 2, post(stack, file(study, new_uid(), patient=f"RACE-{n % 2}"))), range(WRITERS))
        )
    won = {which for which, answer in told if answer.status_code == 200}
    assert len(won) == 1
    codes = {answer.json()["code"] for which, answer in told if which not in won}
    assert codes == {"STUDY_OF_ANOTHER_PATIENT"}
    assert sum(answer.status_code == 200 for _, answer in told) == WRITERS // 2
    assert len(stack.pacs_request("GET", f"/studies?StudyInstanceUID={study}").json()) == 1
