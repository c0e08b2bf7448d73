"""The worklist of the deployed service: over HTTP, under concurrency, seen by a modality, completed by an exam."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.dicom_files import ct_image, saved
from tests.support.stack import Stack
from tests.support.worklist import new_workitem

# pynetdicom puts a findscu of its own on PATH.
FINDSCU = "/usr/bin/findscu"
PATIENCE = 90
"""Seconds; a function that is started for the first time on a busy machine takes its time."""


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.2)
    return False


def state_of(stack: Stack, study: str) -> str:
    return str(stack.request("GET", f"/workitems/{study}", params={"format": "simple"}).json()["State"])


def test_the_life_of_a_workitem(stack: Stack) -> None:
    # GIVEN a workitem
    body = new_workitem()
    study = body["StudyInstanceUID"]
    made = stack.request("POST", "/workitems", json=body)
    assert made.status_code == 200
    assert made.json()["StudyInstanceUID"] == study
    assert made.headers["Location"].endswith(f"/workitems/{study}")
    # WHEN it is found, moved, worked on and removed THEN each step answers as the contract says
    [found] = stack.request("GET", "/workitems", params={"patientid": body["PatientID"]}).json()
    assert found["00100010"]["Value"] == [{"Alphabetic": "O'Brien^Mary", "Ideographic": "山田^花子"}]
    assert found["00400100"]["Value"][0]["00400002"]["Value"] == ["20261122"]
    moved = stack.request("PATCH", f"/workitems/{study}", json={"ScheduledProcedureStepStartDate": "2027-01-02"})
    assert (moved.status_code, moved.json()["00400100"]["Value"][0]["00400002"]["Value"]) == (200, ["20270102"])
    assert stack.request("PUT", f"/workitems/{study}/state", json={"State": "COMPLETED"}).status_code == 409
    assert stack.request("PUT", f"/workitems/{study}/state", json={"State": "IN PROGRESS"}).status_code == 204
    assert stack.request("DELETE", f"/workitems/{study}").status_code == 409
    assert stack.request("PUT", f"/workitems/{study}/state", json={"State": "CANCELED"}).status_code == 204
    assert stack.request("DELETE", f"/workitems/{study}").status_code == 204
    assert stack.request("GET", f"/workitems/{study}").status_code == 404
    assert stack.request("GET", "/workitems", params={"patientID": body["PatientID"]}).json() == []


def test_every_bad_field_is_named(stack: Stack) -> None:
    refused = stack.request("POST", "/workitems", json={"PatientNmae": "X", "Modality": "ct"})
    assert refused.status_code == 400
    named = {error["field"] for error in refused.json()["errors"]}
    assert {"PatientNmae", "Modality", "PatientID", "PatientName", "AccessionNumber"} <= named


def test_of_a_few_over_http_exactly_one_wins(stack: Stack) -> None:
    # GIVEN callers who schedule the same study, each for an accession number of its own
    study = new_workitem()["StudyInstanceUID"]
    bodies = [new_workitem(StudyInstanceUID=study) for _ in range(4)]
    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(pool.map(lambda body: stack.request("POST", "/workitems", json=body), bodies))
    # THEN one has created it, and it is that one's
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: len(bodies) - 1}
    winner = next(body for body, answer in zip(bodies, answers, strict=True) if answer.status_code == 200)
    kept = stack.request("GET", f"/workitems/{study}", params={"format": "simple"}).json()
    assert kept["AccessionNumber"] == winner["AccessionNumber"]


def seen_by_modality(stack: Stack, study: str) -> bool:
    keys = ("0010,0010", f"0020,000D={study}", "0040,0100[0].0008,0060=CT")
    port = str(stack.orthanc._ports.orthanc_dicom)
    query = [
        FINDSCU,
        "-v",
        "-W",
        "-aet",
        "LOCALSCU",
        "-aec",
        "LOCALPACS",
        *(part for key in keys for part in ("-k", key)),
    ]
    answer = subprocess.run([*query, "127.0.0.1", port], capture_output=True, timeout=60, check=True)
    text = answer.stdout + answer.stderr
    assert b"Received Final Find Response (Success)" in text
    return "山田^花子".encode() in text


def test_a_modality_sees_it_until_it_is_deleted(stack: Stack) -> None:
    body = new_workitem()
    assert stack.request("POST", "/workitems", json=body).status_code == 200
    assert eventually(lambda: seen_by_modality(stack, body["StudyInstanceUID"]))
    assert stack.request("DELETE", f"/workitems/{body['StudyInstanceUID']}").status_code == 204
    assert eventually(lambda: not seen_by_modality(stack, body["StudyInstanceUID"]))


@pytest.mark.parametrize("known_by", ["study", "order"])
def test_its_exam_completes_it(stack: Stack, known_by: str) -> None:
    # GIVEN a workitem, and the exam that it asked for
    body = new_workitem()
    assert stack.request("POST", "/workitems", json=body).status_code == 200
    assert eventually(lambda: seen_by_modality(stack, body["StudyInstanceUID"]))
    known = ("PatientID", "AccessionNumber", *(["StudyInstanceUID"] if known_by == "study" else []))
    image = ct_image(**{name: body[name] for name in known})
    # WHEN it arrives THEN the workitem is complete
    uploaded = stack.request("POST", "/exams", files={"file": saved(image)})
    assert uploaded.status_code == 200
    assert eventually(lambda: state_of(stack, body["StudyInstanceUID"]) == "COMPLETED")
    assert eventually(lambda: not seen_by_modality(stack, body["StudyInstanceUID"]))
