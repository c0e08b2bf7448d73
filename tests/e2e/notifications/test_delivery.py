"""On the deployed stack: an exam by any way makes one signed webhook with the right counts, whatever fails."""

import concurrent.futures
import datetime
import json
import os
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any

import requests

from tests.support.exams import exam, feed, upload, upload_to_pacs
from tests.support.stack import Stack
from tests.support.waiting import eventually_absent, wait_for
from tests.support.webhooks import Receiver

ROOT = Path(__file__).parents[3]
SOAK = os.environ.get("SOAK") == "1"
BURST = 1000 if SOAK else 20


def in_pacs(stack: Stack, study: str) -> list[Any]:
    answer = stack.pacs_request("GET", f"/studies/{study}/instances", headers={"Accept": "application/dicom+json"})
    instances: list[Any] = answer.json() if answer.status_code == 200 and answer.content else []
    return instances


def call_back(stack: Stack, study: str, **fields: Any) -> int:
    body = {"SourceID": "test", "StudyInstanceUID": study, **fields}
    return stack.request("POST", "/new-exam-callback", key=stack.callback_key, json=body).status_code


def of(stack: Stack, study: str) -> list[dict[str, Any]]:
    return [
        event["data"]
        for event in feed(stack)
        if event["type"] == "Exam Uploaded" and event["data"]["StudyInstanceUID"] == study
    ]


def test_an_uploaded_exam_is_told_once_with_its_counts(stack: Stack, receiver: Receiver) -> None:
    # GIVEN an exam of two series in two requests
    study, files = exam(2, 3)
    upload(stack, files[:4])
    upload(stack, files[4:])
    # WHEN the quiet period is over THEN one signed webhook has its counts
    (data,) = wait_for(lambda: receiver.of(study))
    assert (data["eventType"], data["source"]) == ("CREATED", "upload")
    assert (data["NumberOfStudyRelatedSeries"], data["NumberOfStudyRelatedInstances"]) == (2, 6)
    assert (data["PatientID"], data["AccessionNumber"], data["ModalitiesInStudy"]) == ("PAT1", "ACC1", ["OT"])
    # AND the change feed says the same
    assert of(stack, study) == [data]
    assert receiver.rejected == []
    assert not any(b"CANARY" in delivery.payload for delivery in receiver.deliveries)


def test_an_exam_sent_straight_to_the_pacs_is_told_once(stack: Stack, receiver: Receiver, tmp_path: Path) -> None:
    # GIVEN a modality that sends to Orthanc
    study, files = exam(1, 3)
    for number, data in enumerate(files):
        (tmp_path / f"{number}.dcm").write_bytes(data)
    port = str(stack.local.settings.ports.orthanc_dicom)
    command = ["/usr/bin/storescu", "-aet", "LOCALSCU", "-aec", "LOCALPACS", "127.0.0.1", port]
    subprocess.run([*command, *map(str, tmp_path.glob("*.dcm"))], check=True, capture_output=True)
    # WHEN Orthanc finds it stable and calls back THEN it is announced with the PACS's counts
    (data,) = wait_for(lambda: receiver.of(study))
    assert (data["source"], data["NumberOfStudyRelatedInstances"]) == ("pacs", 3)
    # AND callbacks replayed make no second event
    assert [call_back(stack, study, NumberOfStudyRelatedInstances=99) for _ in range(3)] == [204] * 3
    more_study, more = exam(1, 1)
    upload(stack, more)
    wait_for(lambda: receiver.of(more_study))
    assert len(of(stack, study)) == 1


def test_an_upload_session_is_told_once_when_it_is_complete(stack: Stack, receiver: Receiver) -> None:
    # GIVEN an upload session of three files, of which the last comes after more than the quiet period
    study, files = exam(1, 3)
    named = [{"name": f"{number}.dcm", "size": len(data)} for number, data in enumerate(files)]
    opened = stack.request("POST", "/uploads", json={"files": named})
    assert opened.status_code == 201, opened.text
    for number, (opening, data) in enumerate(zip(opened.json()["files"], files, strict=True)):
        if number == 2:
            wait_for(lambda: len(in_pacs(stack, study)) == 2)
            time.sleep(4)
            assert receiver.of(study) == []
        sent = requests.post(opening["url"], data=opening["fields"], files={"file": data}, timeout=60)
        assert sent.status_code < 300, sent.text
    # WHEN the session is complete THEN the exam is announced, once, whole
    (data,) = wait_for(lambda: receiver.of(study))
    assert (data["eventType"], data["source"], data["NumberOfStudyRelatedInstances"]) == ("CREATED", "upload", 3)


def drop(stack: Stack, study: str, files: list[bytes]) -> None:
    for number, data in enumerate(files):
        stack.client("s3").put_object(Bucket=stack.staging_bucket, Key=f"drop/{study}/{number}.dcm", Body=data)


def test_dropped_files_are_told_once(stack: Stack, receiver: Receiver) -> None:
    # GIVEN two dropped files of one exam
    study, files = exam(1, 2)
    drop(stack, study, files)
    wait_for(lambda: any(data["NumberOfStudyRelatedInstances"] == 2 for data in receiver.of(study)))
    # WHEN an exam that was dropped later has been announced
    later, more = exam(1, 1)
    drop(stack, later, more)
    wait_for(lambda: receiver.of(later))
    # THEN each state was announced once: both files together, or the first and then both on a slow machine
    announced = receiver.of(study)
    assert [data["NumberOfStudyRelatedInstances"] for data in announced] == [1, 2][-len(announced) :]
    assert [data["eventType"] for data in announced] == ["CREATED", "UPDATED"][: len(announced)]
    assert {data["source"] for data in announced} == {"drop"}
    assert len(of(stack, study)) == len(announced)


def test_later_instances_make_an_update(stack: Stack, receiver: Receiver) -> None:
    study, files = exam(1, 3)
    upload(stack, files[:1])
    wait_for(lambda: receiver.of(study))
    upload(stack, files[1:])
    announced = wait_for(lambda: len(receiver.of(study)) == 2 and receiver.of(study))
    assert {(data["eventType"], data["NumberOfStudyRelatedInstances"]) for data in announced} == {
        ("CREATED", 1),
        ("UPDATED", 3),
    }


def test_what_the_pacs_reported_is_read_back(stack: Stack) -> None:
    # GIVEN a study that nobody has reported
    study, _ = exam(1, 1)
    path = f"/exams/studies/{study}/callbacks"
    assert stack.request("GET", path).json() == []
    # WHEN the PACS reports it twice THEN the last report is read back with every field, by a service key
    fields = {"StudyDescription": "TAC è", "AeTitles": ["CT1"], "StudyTime": None, "Extra": {"n": 1.5}}
    assert call_back(stack, study, StudyDescription="first") == 204
    assert call_back(stack, study, **fields) == 204
    (report,) = stack.request("GET", path).json()
    assert report["fields"] == {"SourceID": "test", "StudyInstanceUID": study, **fields}
    assert stack.request("GET", path, key=stack.callback_key).status_code == 403


def test_a_forged_callback_is_rejected_and_an_unknown_study_makes_no_event(stack: Stack) -> None:
    study, _ = exam(1, 1)
    body = {"SourceID": "test", "StudyInstanceUID": study}
    assert stack.request("POST", "/new-exam-callback", key="dcb_forged", json=body).status_code == 401
    assert stack.request("POST", "/new-exam-callback", key=None, json=body).status_code == 401
    assert stack.request("POST", "/new-exam-callback", json=body).status_code == 403
    assert call_back(stack, study) == 204
    # a study that the PACS has, reported later, is announced
    known, files = exam(1, 1)
    upload_to_pacs(stack, files)
    assert call_back(stack, known) == 204
    eventually_absent(lambda: of(stack, study), marker=lambda: of(stack, known))


def test_a_receiver_that_was_away_gets_everything(stack: Stack, receiver: Receiver) -> None:
    # GIVEN a receiver that is killed
    exams = [exam(1, 1) for _ in range(3)]
    receiver.stop()
    for _, files in exams:
        upload(stack, files)
    for study, _ in exams:
        wait_for(partial(of, stack, study))
    time.sleep(60 if SOAK else 0)
    # WHEN it is back THEN it gets them all
    receiver.start()
    for study, _ in exams:
        assert len(wait_for(partial(receiver.of, study))) == 1


def test_many_exams_at_once_are_each_told_once(stack: Stack, receiver: Receiver) -> None:
    # GIVEN many exams in the PACS
    exams = dict(exam(1, 1) for _ in range(BURST))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda files: upload_to_pacs(stack, files), exams.values()))
        # WHEN all are reported at once, each twice
        assert set(pool.map(lambda study: call_back(stack, study), [*exams, *exams])) == {204}
    # THEN each is announced once: nothing missing, nothing twice
    wait_for(lambda: all(receiver.of(study) for study in exams), 60 + BURST)
    announced = [event["data"]["StudyInstanceUID"] for event in feed(stack) if event["type"] == "Exam Uploaded"]
    assert {study: announced.count(study) for study in exams} == dict.fromkeys(exams, 1)
    sequences = [event["data"]["sequence"] for event in feed(stack)]
    assert sequences == list(range(1, len(sequences) + 1))
    print(f"{BURST} exams at once: {BURST} announced, 0 missing, 0 twice")


def poll(stack: Stack) -> int:
    """Run the poll as its schedule would; return how many checks it left."""
    names = [entry["FunctionName"] for entry in stack.client("lambda").list_functions(MaxItems=200)["Functions"]]
    (name,) = [name for name in names if "PollPacs" in name]
    answer = json.loads(stack.client("lambda").invoke(FunctionName=name, Payload=b"{}")["Payload"].read())
    checks: int = answer["checks"]
    return checks


def test_the_poll_finds_what_the_pacs_has(stack: Stack) -> None:
    # GIVEN a poll that finds nothing new, and then a study of today in the PACS that nobody has reported yet
    wait_for(lambda: poll(stack) == 0)
    study, files = exam(1, 1, date=f"{datetime.datetime.now(datetime.UTC):%Y%m%d}")
    upload_to_pacs(stack, files)
    # WHEN the schedule would run the poll THEN it leaves a check for it, until it is announced
    assert poll(stack) == 1
    wait_for(partial(of, stack, study))
    wait_for(lambda: poll(stack) == 0)
