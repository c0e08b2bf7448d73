"""Who saw what on the deployed service: every access is found by exam, patient and person, or there was none."""

import gzip
import os
import signal
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.support.audit_stack import accesses, audited, invoke_export, move_to_a_day_that_has_ended, shared, verify
from tests.support.canary import search
from tests.support.deployed import kill, processes_of, variables
from tests.support.exams import exam
from tests.support.stack import Stack
from tests.support.staged import stage
from tests.support.upload_files import zipped
from tests.support.waiting import wait_for


def brief(rows: list[dict[str, Any]]) -> Counter[tuple[str, str, int]]:
    """Return how often who did what with which status, also where a quarter of an hour ended in between."""
    counts: Counter[tuple[str, str, int]] = Counter()
    for row in rows:
        if row["action"] != "audit":
            counts[row["who"], row["action"], row["status"]] += row["count"]
    return counts


def test_who_stored_shared_opened_and_saw_an_exam_is_found_by_exam_patient_and_person(stack: Stack) -> None:
    study, patient, recipient, token = shared(stack)
    for _ in range(3):
        assert stack.request("GET", f"/exams/studies/{study}/thumbnail", key=token).status_code == 200
    assert stack.request("GET", f"/exams/studies/{study}/series", key=token).status_code == 200
    assert stack.request("GET", "/exams/studies", params={"patientID": patient}).status_code == 200
    wanted = {
        ("local", "store", 200): 1,
        ("local", "share", 201): 1,
        (recipient, "redeem", 200): 1,
        (recipient, "picture", 200): 3,
        (recipient, "list", 200): 1,
        ("local", "search", 200): 1,
    }
    rows = accesses(stack, study)
    assert brief(rows) == wanted
    assert all(row["address"] and row["requestId"] and row["studyUID"] == study for row in rows)
    assert len({row["patientHash"] for row in rows if row["action"] != "audit"}) == 1

    by_patient = audited(stack, patientID=patient)
    assert brief(by_patient).keys() == brief(rows).keys()
    assert {row["action"] for row in audited(stack, who=recipient)} == {"redeem", "picture", "list"}
    # AND its issuer sees what was done with the code, and nothing else
    [code] = stack.request("GET", "/otps", params={"studyUID": study}).json()
    with_code = stack.request("GET", f"/otps/{code['otpId']}").json()["accesses"]
    assert with_code == audited(stack, who=recipient)
    assert brief(with_code) == {key: count for key, count in wanted.items() if key[0] == recipient}
    tables = {"AuditTable": stack.outputs["AuditTable"]}
    found = search(stack.client("dynamodb"), stack.client("s3"), tables, {}, (patient, study, "CANARY^NAME", token))
    assert found == {"AuditTable": {study}}


def test_what_a_staged_upload_brings_is_recorded_by_exam_with_who_opened_it(stack: Stack) -> None:
    patient = f"CANARY{uuid.uuid4().hex[:8]}"
    study, files = exam(1, 2, patient=patient)
    progress = stage(stack, {"IM1": files[0], "IMS.ZIP": zipped({"IM2": files[1]})})
    assert progress["instances"] == 2
    arrived = [row for row in accesses(stack, study) if row["action"] == "arrival"]
    assert {(row["who"], row["route"], row["status"]) for row in arrived} == {("local", "S3 upload/", 200)}
    # A message that came twice is counted twice.
    assert sum(row["count"] for row in arrived) >= 2
    opened = [row["requestId"] for row in audited(stack, who="local") if row["route"] == "POST /uploads"]
    assert arrived[0]["requestId"] in opened
    assert {row["studyUID"] for row in audited(stack, patientID=patient) if row["action"] == "arrival"} == {study}


def test_foreign_credentials_see_nothing_of_the_audit_and_are_recorded(stack: Stack) -> None:
    study, patient, recipient, token = shared(stack)
    other, *_, other_token = shared(stack)
    path = f"/exams/studies/{study}/accesses"
    for key in (token, other_token, stack.callback_key):
        assert stack.request("GET", path, key=key).status_code == 403
        assert stack.request("GET", "/audit", key=key).status_code == 403
    assert stack.request("GET", path, key="wrong").status_code == 401
    assert stack.request("GET", "/audit", params={"patientID": patient}).status_code == 403
    for forbidden in ("/exams/studies", f"/exams/studies/{study}/thumbnail", "/otps", "/workitems", "/events"):
        assert stack.request("GET", forbidden, key=stack.auditor_key).status_code == 403
    # Control: with their own credentials they see it.
    assert stack.request("GET", path, key=stack.auditor_key).status_code == 200
    refused = [row for row in accesses(stack, study) if row["status"] == 403]
    assert {(row["who"], row["action"]) for row in refused} >= {(recipient, "audit"), ("auditor", "picture")}
    assert all(row["outcome"] == 4 for row in refused)
    assert not [row for row in accesses(stack, other) if row["who"] == recipient]
    assert [row for row in audited(stack, who="unknown") if row["status"] == 401]


def test_nothing_is_shown_while_the_table_refuses_unless_the_operator_says_so(stack: Stack) -> None:
    study, *_, token = shared(stack)
    path = f"/exams/studies/{study}/series"
    with variables(stack, "ListExamsFunction", AUDIT_TABLE="no-such-table"):
        refused = stack.request("GET", path, key=token)
        assert (refused.status_code, refused.json()["code"]) == (503, "UNAVAILABLE")
        assert study not in refused.text
    with variables(stack, "ListExamsFunction", AUDIT_TABLE="no-such-table", AUDIT_MODE="best-effort"):
        assert stack.request("GET", path, key=token).status_code == 200
    assert not [row for row in accesses(stack, study) if row["action"] == "list"]
    # Control: as deployed, it is served and recorded.
    assert stack.request("GET", path, key=token).status_code == 200
    assert [row["count"] for row in accesses(stack, study) if row["action"] == "list"] == [1]


def test_a_change_that_cannot_be_recorded_is_not_made(stack: Stack) -> None:
    study, *_ = shared(stack)
    with variables(stack, "IssueOtpFunction", AUDIT_TABLE="no-such-table"):
        refused = stack.request("POST", "/otps", json={"studyUID": study})
        assert refused.status_code == 503
    listed = stack.request("GET", "/otps", params={"studyUID": study}).json()
    assert len(listed["otps"] if isinstance(listed, dict) else listed) == 1


def test_a_function_that_is_killed_leaves_what_it_began_and_has_shown_nothing(stack: Stack) -> None:
    """GIVEN functions that wait for the PACS WHEN they are killed THEN a change has its record, a read no answer."""
    study, patient, recipient, token = shared(stack)
    begun = accesses(stack, study)
    wishes, path = {"studyUID": study, "patientID": patient}, f"/exams/studies/{study}/series"
    os.kill(stack.orthanc.pid or 0, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(2) as pool:
            changing = pool.submit(stack.request, "POST", "/otps", json=wishes)
            reading = pool.submit(stack.request, "GET", path, key=token)
            wait_for(lambda: [row for row in accesses(stack, study) if row["status"] is None], 60)
            wait_for(lambda: processes_of(stack, "ListExamsFunction"), 60)
            kill(stack, "IssueOtpFunction")
            kill(stack, "ListExamsFunction")
            answers = [changing.result(), reading.result()]
    finally:
        os.kill(stack.orthanc.pid or 0, signal.SIGCONT)
    assert all(answer.status_code >= 500 and study not in answer.text for answer in answers)

    left = [row for row in accesses(stack, study) if row["id"] not in {row["id"] for row in begun}]
    [change] = [row for row in left if row["action"] not in ("audit", "list")]
    assert (change["who"], change["action"], change["status"], change["outcome"]) == ("local", "share", None, None)
    assert change["id"] in {row["id"] for row in audited(stack, patientID=patient)}
    assert not [row for row in left if row["who"] == recipient and row["status"] == 200]
    # Control: as deployed, both are served and recorded.
    assert stack.request("POST", "/otps", json=wishes).status_code == 201
    assert stack.request("GET", path, key=token).status_code == 200
    assert {("share", 201), ("list", 200)} <= {(row["action"], row["status"]) for row in accesses(stack, study)}


def test_deleting_altering_and_reordering_records_is_found(stack: Stack) -> None:
    # GIVEN a day that has ended, exported by the deployed function
    study, *_ = shared(stack)
    rows = accesses(stack, study)
    assert len(rows) >= 3
    day = move_to_a_day_that_has_ended(stack, rows)
    assert day in invoke_export(stack)
    code, text = verify(stack)
    assert code == 0, text
    known = text.split()[-1]
    assert verify(stack, "--known", known)[0] == 0
    database, table, bucket = stack.client("dynamodb"), stack.outputs["AuditTable"], stack.outputs["AuditBucket"]

    # WHEN a record is altered or deleted in the table THEN it is found, and no more once it is back
    for attack in ("altered", "deleted"):
        before = database.get_item(TableName=table, Key={"id": {"S": rows[0]["id"]}})["Item"]
        if attack == "altered":
            database.put_item(TableName=table, Item=before | {"who": {"S": "nobody"}})
        else:
            database.delete_item(TableName=table, Key={"id": before["id"]})
        code, text = verify(stack)
        assert (code, rows[0]["id"] in text) == (1, True), (attack, text)
        database.put_item(TableName=table, Item=before)
        assert verify(stack)[0] == 0

    # AND so it is in the bucket: one altered, one taken out, two in another order, the day taken away
    key, s3 = f"accesses/{day[:4]}/{day}.jsonl.gz", stack.client("s3")
    data = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    lines = gzip.decompress(data).decode().splitlines()
    attacks = (
        [lines[0], lines[1].replace('"who":', '"who":"nobody","was":'), *lines[2:]],
        [lines[0], *lines[2:]],
        [lines[0], lines[2], lines[1], *lines[3:]],
    )
    for attacked in attacks:
        s3.put_object(Bucket=bucket, Key=key, Body=gzip.compress("\n".join(attacked).encode()))
        code, text = verify(stack)
        assert (code, day in text) == (1, True), text
    s3.delete_object(Bucket=bucket, Key=key)
    assert verify(stack, "--known", known)[0] == 1
    s3.put_object(Bucket=bucket, Key=key, Body=data)
    code, text = verify(stack, "--known", known)
    assert code == 0, text
    print(f"{2 + len(attacks) + 1} attacks on {len(lines) - 2} records of {day}, each found")
