"""On the deployed stack: an exam by any way makes one signed webhook with the right counts, whatever fails."""

import concurrent.futures
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from tests.e2e.notifications.conftest import Receiver, wait_for
from tests.e2e.notifications.exams import exam
from tests.stack import Stack

ROOT = Path(__file__).parents[3]
SOAK = bool(os.environ.get("SOAK"))
BURST = 1000 if SOAK else 20


def upload(stack: Stack, files: list[bytes]) -> None:
    parts = [("file", (f"{number}.dcm", data, "application/dicom")) for number, data in enumerate(files)]
    answer = stack.request("POST", "/exams", files=parts)
    assert answer.status_code == 200, answer.text


def call_back(stack: Stack, study: str, **fields: Any) -> int:
    body = {"SourceID": "test", "StudyInstanceUID": study, **fields}
    return stack.request("POST", "/new-exam-callback", key=stack.callback_key, json=body).status_code


def feed(stack: Stack) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = stack.request("GET", "/events", params={"after": cursor} if cursor else {}).json()
        if not page["events"]:
            return events
        events += page["events"]
        cursor = page["next"]


def of(stack: Stack, study: str) -> list[dict[str, Any]]:
    return [
        event["data"]
        for event in feed(stack)
        if event["type"] == "Exam Uploaded" and event["data"]["StudyInstanceUID"] == study
    ]


def operator(stack: Stack, *arguments: str) -> str:
    """Run scripts/webhooks.py as an operator does."""
    done = subprocess.run(
        [sys.executable, "scripts/webhooks.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **stack.local.settings.aws_environment()},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_an_uploaded_exam_is_told_once_with_its_counts(stack: Stack, receiver: Receiver) -> None:
    # GIVEN an exam of two series in two requests
    study, files = exam(2, 3)
    upload(stack, files[:4])
    upload(stack, files[4:])
    # WHEN the quiet period is over THEN one signed webhook tells its counts
    (data,) = wait_for(lambda: receiver.of(study))
    assert (data["eventType"], data["source"]) == ("CREATED", "upload")
    assert (data["NumberOfStudyRelatedSeries"], data["NumberOfStudyRelatedInstances"]) == (2, 6)
    assert (data["PatientID"], data["AccessionNumber"], data["ModalitiesInStudy"]) == ("PAT1", "ACC1", ["OT"])
    # AND the change feed says the same
    assert of(stack, study) == [data]
    assert receiver.refused == []
    assert not any(b"CANARY" in delivery.payload for delivery in receiver.deliveries)


def test_an_exam_sent_straight_to_the_pacs_is_told_once(stack: Stack, receiver: Receiver, tmp_path: Path) -> None:
    # GIVEN a modality that sends to Orthanc
    study, files = exam(1, 3)
    for number, data in enumerate(files):
        (tmp_path / f"{number}.dcm").write_bytes(data)
    port = str(stack.local.settings.ports.orthanc_dicom)
    command = ["/usr/bin/storescu", "-aet", "LOCALSCU", "-aec", "LOCALPACS", "127.0.0.1", port]
    subprocess.run([*command, *map(str, tmp_path.glob("*.dcm"))], check=True, capture_output=True)
    # WHEN Orthanc finds it stable and calls back THEN it is told with the PACS's counts
    (data,) = wait_for(lambda: receiver.of(study))
    assert (data["source"], data["NumberOfStudyRelatedInstances"]) == ("pacs", 3)
    # AND callbacks replayed make no second event
    assert [call_back(stack, study, NumberOfStudyRelatedInstances=99) for _ in range(3)] == [204] * 3
    more_study, more = exam(1, 1)
    upload(stack, more)
    wait_for(lambda: receiver.of(more_study))
    assert len(of(stack, study)) == 1


def test_later_instances_make_an_update(stack: Stack, receiver: Receiver) -> None:
    study, files = exam(1, 3)
    upload(stack, files[:1])
    wait_for(lambda: receiver.of(study))
    upload(stack, files[1:])
    told = wait_for(lambda: len(receiver.of(study)) == 2 and receiver.of(study))
    assert {(data["eventType"], data["NumberOfStudyRelatedInstances"]) for data in told} == {
        ("CREATED", 1),
        ("UPDATED", 3),
    }


def test_a_forged_callback_is_refused_and_an_unknown_study_makes_no_event(stack: Stack) -> None:
    study, _ = exam(1, 1)
    body = {"SourceID": "test", "StudyInstanceUID": study}
    assert stack.request("POST", "/new-exam-callback", key="dcb_forged", json=body).status_code == 401
    assert stack.request("POST", "/new-exam-callback", key=None, json=body).status_code == 401
    assert stack.request("POST", "/new-exam-callback", json=body).status_code == 403
    assert call_back(stack, study) == 204
    assert of(stack, study) == []


def test_a_receiver_that_was_away_gets_everything(stack: Stack, receiver: Receiver) -> None:
    # GIVEN a receiver that is killed
    exams = [exam(1, 1) for _ in range(3)]
    receiver.stop()
    for _, files in exams:
        upload(stack, files)
    for study, _ in exams:
        wait_for(partial(of, stack, study))
    # WHEN it is back THEN it gets them all
    receiver.start()
    for study, _ in exams:
        assert len(wait_for(partial(receiver.of, study))) == 1


def test_dead_letters_are_sent_again_with_one_command(stack: Stack, receiver: Receiver) -> None:
    # GIVEN a URL that fails until the last attempt
    study, files = exam(1, 1)
    upload(stack, files)
    wait_for(lambda: receiver.of(study))
    queue = stack.outputs["DeadWebhooksQueue"]
    names = ["ApproximateNumberOfMessages"]

    def dead() -> int:
        attributes = stack.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
        return int(attributes["ApproximateNumberOfMessages"])

    wait_for(lambda: dead() >= 1, 150)
    # WHEN it is well again and the operator sends its dead letters again
    receiver.statuses["/failing"] = 204
    try:
        assert operator(stack, "redrive").endswith("messages sent again")
        # THEN it gets them, signed with its own secret
        wait_for(lambda: receiver.of(study, "/failing"))
    finally:
        receiver.statuses["/failing"] = 500
    assert operator(stack, "secret", receiver.url("/hook")).startswith("whsec_")


def test_gone_is_left_alone_until_it_is_enabled(stack: Stack, receiver: Receiver) -> None:
    # GIVEN a URL that has said 410 once
    study, files = exam(1, 1)
    upload(stack, files)
    wait_for(lambda: receiver.of(study))
    # WHEN it is well again THEN it stays alone until the operator enables it
    receiver.statuses["/gone"] = 204
    quiet, files = exam(1, 1)
    upload(stack, files)
    wait_for(lambda: receiver.of(quiet))
    assert receiver.of(quiet, "/gone") == []
    assert operator(stack, "enable", receiver.url("/gone")) == "switched on"
    loud, files = exam(1, 1)
    upload(stack, files)
    wait_for(lambda: receiver.of(loud, "/gone"))


def test_many_exams_at_once_are_each_told_once(stack: Stack, receiver: Receiver) -> None:
    # GIVEN many exams in the PACS
    exams = dict(exam(1, 1) for _ in range(BURST))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda files: upload_to_pacs(stack, files), exams.values()))
        # WHEN all are reported at once, each twice
        assert set(pool.map(lambda study: call_back(stack, study), [*exams, *exams])) == {204}
    # THEN each is told once: nothing missing, nothing twice
    wait_for(lambda: all(receiver.of(study) for study in exams), 60 + BURST)
    told = [event["data"]["StudyInstanceUID"] for event in feed(stack) if event["type"] == "Exam Uploaded"]
    assert {study: told.count(study) for study in exams} == dict.fromkeys(exams, 1)
    sequences = [event["data"]["sequence"] for event in feed(stack)]
    assert sequences == list(range(1, len(sequences) + 1))
    print(f"{BURST} exams at once: {BURST} told, 0 missing, 0 twice")


def upload_to_pacs(stack: Stack, files: list[bytes]) -> None:
    import uuid

    boundary = uuid.uuid4().hex
    body = b"".join(
        f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + data + b"\r\n" for data in files
    )
    headers = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}'}
    headers["Accept"] = "application/dicom+json"
    answer = stack.pacs_request("POST", "/studies", data=body + f"--{boundary}--\r\n".encode(), headers=headers)
    assert answer.status_code == 200, answer.text


def test_an_operators_own_rule_gets_the_events(stack: Stack, receiver: Receiver) -> None:
    # GIVEN the documentation's example of a rule to a queue, deployed
    template = (ROOT / "docs/examples/events-to-queue.yaml").read_text()
    cloudformation = stack.client("cloudformation")
    parameters = [{"ParameterKey": "EventBusName", "ParameterValue": stack.event_bus}]
    cloudformation.create_stack(StackName="own-rule", TemplateBody=template, Parameters=parameters)
    try:
        described = wait_for(
            lambda: [
                found
                for found in cloudformation.describe_stacks(StackName="own-rule")["Stacks"]
                if found["StackStatus"] == "CREATE_COMPLETE"
            ]
        )
        queue = {output["OutputKey"]: output["OutputValue"] for output in described[0]["Outputs"]}["QueueUrl"]
        # WHEN an exam arrives
        study, files = exam(1, 1)
        upload(stack, files)
        # THEN the queue has its event
        sqs = stack.client("sqs")
        bodies: list[dict[str, Any]] = []

        def arrived() -> list[dict[str, Any]]:
            for message in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages", []):
                bodies.append(json.loads(message["Body"]))
            return [body for body in bodies if body["detail"].get("StudyInstanceUID") == study]

        (event,) = wait_for(arrived)
        assert (event["source"], event["detail-type"]) == ("dicom-service", "Exam Uploaded")
    finally:
        cloudformation.delete_stack(StackName="own-rule")
