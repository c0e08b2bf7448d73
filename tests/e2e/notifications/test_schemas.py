"""Every kind of event that the deployed service makes fits its published schema."""

import json
from pathlib import Path
from typing import Any

import jsonschema

from local.events import follow, line
from tests.support.exams import exam, feed, new_uid, upload
from tests.support.stack import Stack
from tests.support.waiting import wait_for

SCHEMAS = Path(__file__).parents[3] / "schemas/events/v1"
FILES = {
    "Exam Uploaded": "exam-uploaded",
    "Exam Rejected": "exam-rejected",
    "Event Erased": "event-erased",
    "Workitem": "workitem",
    "OTP": "otp",
}
COMPLETED = "Workitem Completed"
WORKITEM = {
    "PatientID": "PAT1",
    "PatientName": "CANARY^NAME",
    "ScheduledStationAETitle": "CT1",
    "ScheduledProcedureStepDescription": "CT head",
    "ScheduledProcedureStepStartDate": "20260131",
    "ScheduledProcedureStepStartTime": "0815",
    "Modality": "CT",
    "AccessionNumber": "ACC9",
}


def schema_of(kind: str) -> dict[str, Any]:
    name = FILES.get(kind) or FILES[kind.split()[0]]
    schema: dict[str, Any] = json.loads((SCHEMAS / f"{name}.json").read_text())
    return schema


def last(stack: Stack) -> int:
    """Return the position of the newest event."""
    return max((event["data"]["sequence"] for event in feed(stack)), default=0)


def kinds_of(stack: Stack, after: int, study: str, workitem: str) -> set[str]:
    """Return the types of the events of one test: later than where it began, and of its own exam or workitem."""
    return {
        event["type"]
        for event in feed(stack)
        if event["data"]["sequence"] > after
        and (
            {event["data"].get("StudyInstanceUID"), event["data"].get("studyUID")} & {study, workitem}
            or event["type"] == "Exam Rejected"
        )
    }


def test_every_event_fits_its_schema(stack: Stack) -> None:
    # GIVEN an exam, a password for it, a workitem that comes and goes, and a dropped file that is no DICOM
    begin = last(stack)
    study, files = exam(1, 1)
    upload(stack, files)
    issued = stack.request("POST", "/otps", json={"studyUID": study, "patientID": "PAT1"})
    assert issued.status_code == 201, issued.text
    assert stack.request("POST", "/otps/redeem", json={"token": issued.json()["token"]}).status_code == 200
    assert stack.request("DELETE", f"/otps/{issued.json()['otpId']}").status_code == 204
    made = stack.request("POST", "/workitems", json=WORKITEM)
    assert made.status_code == 200, made.text
    workitem = made.json()["StudyInstanceUID"]
    assert stack.request("DELETE", f"/workitems/{workitem}").status_code == 204
    stack.client("s3").put_object(Bucket=stack.staging_bucket, Key=f"drop/{new_uid()}/x.dcm", Body=b"nonsense")
    wanted = {"Exam Uploaded", "Exam Rejected", "OTP Issued", "OTP Redeemed", "OTP Revoked"}
    wanted |= {"Workitem Created", "Workitem Deleted"}
    # WHEN all of them are in the feed
    wait_for(lambda: wanted <= kinds_of(stack, begin, study, workitem), 120)
    # THEN each fits the schema of its type, and none has a name in it; earlier ones may be of an earlier version
    events = [event for event in feed(stack) if event["data"]["sequence"] > begin]
    for event in events:
        jsonschema.validate(event["data"], schema_of(event["type"]))
    assert "CANARY" not in json.dumps(events)
    kinds = sorted({event["type"] for event in events})
    print(f"{len(events)} events of {len(kinds)} types fit their schemas: {', '.join(kinds)}")


def test_make_events_shows_the_feed(stack: Stack) -> None:
    assert stack.request("POST", "/workitems", json=WORKITEM).status_code == 200
    wait_for(lambda: feed(stack))
    first = next(follow(stack.api_url, stack.service_key))
    assert first == feed(stack)[0]
    assert first["type"] in line(first)


def workitem_and_its_exam(stack: Stack) -> str:
    study, files = exam(1, 1)
    made = stack.request("POST", "/workitems", json={**WORKITEM, "StudyInstanceUID": study})
    assert made.status_code == 200, made.text
    upload(stack, files)
    return study


def test_an_exam_completes_its_workitem_once(stack: Stack) -> None:
    def completions(study: str) -> int:
        return [event["data"]["StudyInstanceUID"] for event in feed(stack) if event["type"] == COMPLETED].count(study)

    # GIVEN a workitem whose exam arrives
    first = workitem_and_its_exam(stack)
    wait_for(lambda: completions(first))
    # WHEN a later one is completed too THEN each was once
    second = workitem_and_its_exam(stack)
    wait_for(lambda: completions(second))
    assert [completions(first), completions(second)] == [1, 1]
