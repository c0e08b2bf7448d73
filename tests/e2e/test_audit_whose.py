"""Whose the records of the deployed service are: found by exam and patient, written and shown to nobody else's."""

import time
from typing import Any

from dicom_service.otp.codes import token_hash
from tests.support.audit_stack import accesses, audited, shared
from tests.support.otp import wrong
from tests.support.otp_stack import correct
from tests.support.stack import Stack
from tests.support.waiting import wait_for
from tests.support.worklist import new_workitem

TRIES = 8
NAMED = {"studyUID", "studyUIDs", "patientHash"}


def called(stack: Stack, method: str, path: str, **more: Any) -> Any:
    answer = stack.request(method, path, **more)
    assert answer.status_code < 400, (method, path, answer.text)
    return answer


def announced(stack: Stack, after: str, study: str) -> bool:
    """Read the feed from a cursor in pages of few exams, and say whether one of them announces the exam."""
    while (page := called(stack, "GET", "/events", params={"after": after, "limit": 5}).json())["events"]:
        if any(one["type"] == "Exam Uploaded" and one["data"]["StudyInstanceUID"] == study for one in page["events"]):
            return True
        after = page["next"]
    return False


def test_what_tells_of_an_exam_without_being_asked_for_its_patient_is_found_by_both(stack: Stack) -> None:
    # GIVEN an exam that was announced, and that the PACS has reported
    after = called(stack, "GET", "/events", params={"after": "newest"}).json()["next"]
    study, patient, *_ = shared(stack)
    report = {"SourceID": "test", "StudyInstanceUID": study, "PatientID": patient}
    called(stack, "POST", "/new-exam-callback", key=stack.callback_key, json=report)
    wait_for(lambda: announced(stack, after, study), 150)

    # WHEN the report, the codes, and the DICOMweb lists below the study are read, and its ZIP is asked for
    called(stack, "GET", f"/exams/studies/{study}/callbacks")
    called(stack, "GET", "/otps", params={"studyUID": study})
    called(stack, "GET", f"/dicomweb/studies/{study}/series")
    called(stack, "POST", f"/exams/studies/{study}/archive")
    called(stack, "GET", f"/exams/studies/{study}/archive", params={"redirect": "false"})

    # THEN each is found by the exam and by the patient
    wanted = {
        "GET /events",
        "GET /exams/studies/{studyUID}/callbacks",
        "GET /otps",
        "GET /dicomweb/studies/{studyUID}/series",
        "POST /exams/studies/{studyUID}/archive",
        "GET /exams/studies/{studyUID}/archive",
    }
    assert {row["route"] for row in accesses(stack, study) if row["outcome"] == 0} >= wanted
    assert {row["route"] for row in audited(stack, patientID=patient) if row["outcome"] == 0} >= wanted


def test_changes_of_a_workitem_are_found_by_its_patient_and_exam(stack: Stack) -> None:
    body = new_workitem()
    study, patient = body["StudyInstanceUID"], body["PatientID"]
    called(stack, "POST", "/workitems", json=body)
    called(stack, "PATCH", f"/workitems/{study}", json={"AccessionNumber": "A2"})
    called(stack, "DELETE", f"/workitems/{study}")
    wanted = {"schedule", "reschedule", "unschedule"}
    assert {row["action"] for row in accesses(stack, study) if row["outcome"] == 0} >= wanted
    assert {row["action"] for row in audited(stack, patientID=patient) if row["outcome"] == 0} >= wanted


def test_what_strangers_send_is_gathered_and_in_no_exams_audit(stack: Stack) -> None:
    study, patient, *_ = shared(stack)
    written = {row["id"] for row in accesses(stack, study)}
    begun = {row["id"]: row["count"] for row in audited(stack, who="unknown")}
    query, named = {"studyUID": study, "patientID": patient}, {"studyUID": study, "patientID": patient, "code": "0"}
    for number in range(TRIES):
        made_up = stack.request("POST", "/otps/redeem", key=None, params=query, json={**named, "n": number})
        assert made_up.status_code == 400
        path = f"/exams/studies/{study}/thumbnail"
        assert stack.request("GET", path, key=f"wrong-{number}", params=query).status_code == 401

    # THEN the exam has no record more, and what they did is one of each kind, or two around a quarter of an hour
    assert {row["id"] for row in accesses(stack, study) if row["action"] != "audit"} <= written
    assert "unknown" not in {row["who"] for row in audited(stack, patientID=patient)}
    unknown = [row for row in audited(stack, who="unknown") if row["count"] > begun.get(row["id"], 0)]
    for status in (400, 401):
        rows = [row for row in unknown if row["status"] == status]
        assert sum(row["count"] - begun.get(row["id"], 0) for row in rows) >= TRIES
        assert len(rows) <= 2
        assert not any(row[name] for row in rows for name in NAMED)


def test_wrong_tries_at_a_code_are_found_by_its_exam_and_gathered(stack: Stack) -> None:
    study, patient, *_ = shared(stack)
    issued = called(stack, "POST", "/otps", json={"studyUID": study, "patientID": patient}).json()
    guess = {"otpId": issued["otpId"], "otp": wrong(issued["otp"])}
    for _ in range(3):
        tried = stack.request("POST", "/otps/redeem", key=None, json=guess)
        assert (tried.status_code, tried.json()["code"]) == (401, "OTP_REJECTED")
    who = f"otp:{issued['reference']}"
    rows = [row for row in accesses(stack, study) if row["who"] == who]
    assert {(row["action"], row["status"], row["outcome"]) for row in rows} == {("redeem", 401, 4)}
    assert sum(row["count"] for row in rows) == 3
    assert len(rows) <= 2
    assert {row["id"] for row in audited(stack, patientID=patient)} >= {row["id"] for row in rows}


def test_a_recipient_who_asks_for_another_exam_leaves_it_without_a_trace_of_either(stack: Stack) -> None:
    study, patient, *_ = shared(stack)
    own, own_patient, who, token = shared(stack)
    paths = {f"/exams/studies/{study}/thumbnail": 403, f"/dicomweb/studies/{study}/metadata": 403}
    for path, status in paths.items():
        for _ in range(3):
            refused = stack.request("GET", path, key=token, params={"patientID": patient})
            assert refused.status_code == status, path
    assert who not in {row["who"] for row in [*accesses(stack, study), *audited(stack, patientID=patient)]}
    refusals = [row for row in audited(stack, who=who) if row["outcome"] == 4]
    assert sum(row["count"] for row in refusals) == 6
    assert not any(row[name] for row in refusals for name in NAMED)
    ids = {row["id"] for row in refusals}
    assert not ids & {row["id"] for row in [*accesses(stack, own), *audited(stack, patientID=own_patient)]}


def test_no_recipient_sees_who_saw_an_exam_that_is_another_patients_by_now(stack: Stack) -> None:
    study, patient, *_ = shared(stack)
    wishes = {"studyUID": study, "patientID": patient, "showAccesses": True}
    issued = called(stack, "POST", "/otps", json=wishes).json()
    token = called(stack, "POST", "/otps/redeem", key=None, json={"token": issued["token"]}).json()["accessToken"]
    path = f"/exams/studies/{study}/accesses"
    # Control: while it is the patient's, the recipient sees it, without addresses.
    seen = called(stack, "GET", path, key=token).json()
    assert {"share", "redeem"} <= {row["action"] for row in seen}
    assert not any(row.get("address") for row in seen)

    # WHEN the PACS is corrected, and the token was compared more than a minute ago
    correct(stack, patient, f"{patient}-B")
    stack.client("dynamodb").update_item(
        TableName=stack.outputs["AccessTokensTable"],
        Key={"tokenHash": {"S": token_hash(token)}},
        UpdateExpression="SET comparedAt = :then",
        ExpressionAttributeValues={":then": {"N": str(int(time.time()) - 61)}},
    )
    refused = stack.request("GET", path, key=token)
    assert (refused.status_code, refused.json()["code"]) == (403, "EXAM_SUSPENDED")
    assert called(stack, "GET", f"/otps/{issued['otpId']}").json()["state"] == "SUSPENDED"
    # Staff sees it all the same, and that the recipient was refused.
    assert ("audit", 403) in {(row["action"], row["status"]) for row in accesses(stack, study)}
