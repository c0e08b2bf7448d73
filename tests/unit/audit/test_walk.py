"""A walk over all routes: whatever is done with an exam of a known patient is found by that patient."""

import hashlib
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from dicom_service import aws
from dicom_service.audit.actions import ROUTES
from dicom_service.otp.dependencies import hasher
from dicom_service.patient import Patient, index_value
from tests.support import audit_walk
from tests.support.audit import records
from tests.support.audit_walk import PATIENT, STUDY, Walk

# Neither a row of an upload nor a row of the audit is asked whose the exam is.
BY_EXAM = {("GET", "/uploads/{uploadId}"), ("GET", "/exams/studies/{studyUID}/accesses")}
BY_VIEWER = {("POST", "/uploads"), ("POST", "/uploads/{uploadId}/files/{fileId}/complete")}
# The code is not suspended: that it was tried is recorded.
FAILS = {("POST", "/otps/{otpId}/resume"): 409}
METHODS = ["POST", "GET", "PATCH", "PUT", "DELETE"]
TOKEN = "/access-token"


@pytest.fixture
def walk(cloud: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Walk]:
    with audit_walk.walk(monkeypatch) as made:
        yield made


def test_whatever_is_done_with_an_exam_is_found_by_its_patient(walk: Walk) -> None:
    """WHEN each route is called twice, the second time out of caches THEN both are found by the patient."""
    hashed = hasher().hash(Patient.of(PATIENT))
    own = index_value(hashed)
    token = {"principal": "otp:x", "role": "exam", "studyUID": STUDY, "patient": hashed, "tokenHash": "0" * 64}
    routes = [route for route, action in ROUTES.items() if action is not None]
    seen, missing, failed = 0, [], []
    for method, resource in sorted(routes, key=lambda route: METHODS.index(route[0])):
        for who in ("first", "second") if method == "GET" else ("first",):
            route, number = (method, resource), f"{who} {method} {resource}"
            context = token if resource == TOKEN else {"principal": number, "role": "service"}
            answer = walk.call(route, number, None if resource == "/otps/redeem" else context)
            expected = FAILS.get(route)
            if answer.status != expected and answer.status >= 400:
                failed.append((number, answer.status, answer.body))
            found = [row for row in records() if row["requestId"] == number]
            by_patient = any(row.get("patient") == own for row in found)
            by_exam = any(STUDY in (row.get("study"), *row.get("studies", "").split()) for row in found)
            seen += by_patient
            if not found or not (by_patient or (route in BY_EXAM and by_exam) or route in BY_VIEWER):
                missing.append(number)
    assert not failed and not missing
    assert seen >= 75


def test_control_a_row_that_names_no_patient_is_missed(walk: Walk) -> None:
    """GIVEN the routes that are found otherwise THEN they are not found by the patient, and need to be named."""
    own = index_value(hasher().hash(Patient.of(PATIENT)))
    for route in sorted(BY_EXAM | BY_VIEWER):
        walk.call(route, f"control {route}", {"principal": "control", "role": "service"})
        found = [row for row in records() if row["requestId"] == f"control {route}"]
        assert found and own not in {row.get("patient") for row in found}, route


def test_giving_out_a_zip_is_told_from_asking_how_far_it_is(walk: Walk) -> None:
    """WHEN a page asks until the ZIP is there, and fetches its URL THEN one record says so, and another that it did."""
    route, known = "/exams/studies/{studyUID}/archive", {"principal": "page", "role": "service"}
    walk.call(("POST", route), "asked", known)
    for _ in range(3):
        assert "url" not in walk.call(("GET", route), "polled", known, redirect="false").json
    aws.dynamodb().update_item(
        TableName="ArchivesTable",
        Key=aws.to_item({"StudyInstanceUID": STUDY}),
        UpdateExpression="SET #state = :ready, expiresAt = :then",
        ExpressionAttributeNames={"#state": "state"},
        ExpressionAttributeValues=aws.to_item({":ready": "ready", ":then": int(time.time()) + 60}),
    )
    for _ in range(2):
        assert walk.call(("GET", route), "given", known, redirect="false").json["url"]
    assert walk.call(("GET", route), "sent", known).status == 303

    rows = [row for row in records() if row["who"] == "page"]
    own = index_value(hasher().hash(Patient.of(PATIENT)))
    assert {row["patient"] for row in rows} == {own}
    counts: Counter[tuple[str, int]] = Counter()
    for row in rows:
        # Two records of one kind where a quarter of an hour ended in between.
        counts[row["action"], row["status"]] += row["count"]
    wanted = {
        ("archive", 202): 1,
        ("archive-state", 200): 3,
        ("archive-download", 200): 2,
        ("archive-download", 303): 1,
    }
    assert counts == wanted


def test_no_recipient_sees_who_saw_an_exam_that_is_another_patients_by_now(walk: Walk) -> None:
    """GIVEN a token that was compared two minutes ago WHEN the PACS is corrected THEN it sees no more accesses."""
    route = ("GET", "/exams/studies/{studyUID}/accesses")
    granted = walk.call(("POST", "/otps/redeem"), "redeemed", None).json
    token_hash = hashlib.sha256(granted["accessToken"].encode()).hexdigest()
    then = int(time.time()) - 120
    aws.dynamodb().update_item(
        TableName="AccessTokensTable",
        Key=aws.to_item({"tokenHash": token_hash}),
        UpdateExpression="SET comparedAt = :then",
        ExpressionAttributeValues=aws.to_item({":then": then}),
    )
    token = {
        **{"principal": "otp:x", "role": "exam", "studyUID": STUDY, "showAccesses": "true", "tokenHash": token_hash},
        **{"otpId": walk.code["otpId"], "comparedAt": str(then), "patient": hasher().hash(Patient.of(PATIENT))},
    }
    for instance in (walk.shown, walk.report, walk.sent):
        instance.PatientID = "CANARY-OTHER"
    refused = walk.call(route, "corrected", token)
    assert (refused.status, refused.json["code"]) == (403, "EXAM_SUSPENDED")
    # Control: whoever is no recipient sees them all the same, and the code is suspended.
    assert walk.call(route, "staff", {"principal": "staff", "role": "service"}).status == 200
    code = walk.call(("GET", "/otps/{otpId}"), "code", {"principal": "staff", "role": "service"})
    assert code.json["state"] == "SUSPENDED"


def test_a_recipient_sees_who_saw_the_exam_while_it_is_the_patients(walk: Walk) -> None:
    granted = walk.call(("POST", "/otps/redeem"), "redeemed", None).json
    token = {
        **{"principal": "otp:x", "role": "exam", "studyUID": STUDY, "showAccesses": "true", "otpId": "x"},
        "tokenHash": hashlib.sha256(granted["accessToken"].encode()).hexdigest(),
        **{"comparedAt": str(int(time.time()) - 5), "patient": hasher().hash(Patient.of(PATIENT))},
    }
    seen = walk.call(("GET", "/exams/studies/{studyUID}/accesses"), "recipient", token)
    assert (seen.status, {row["action"] for row in seen.json}) == (200, {"share", "redeem"})
