"""A second patient under the StudyInstanceUID of a shared exam, and a correction of the patient by the PACS.

The files go straight into the PACS, past the service, as a modality's would.
"""

import secrets
import time
from typing import Any

import pytest

from dicom_service import aws
from dicom_service.otp.codes import token_hash
from tests.support.dicom_files import ct_image, saved
from tests.support.otp import Harness
from tests.support.otp_stack import StoredExam, correct, pacs, redeem
from tests.support.stack import Stack

DICOM, JPEG = "?fileType=application/dicom", "?fileType=image/jpeg"


def into_pacs(stack: Stack, patient_id: str, study_uid: str | None = None, issuer: str = "") -> StoredExam:
    """Store an image of a patient in the PACS, past the service."""
    more = {"StudyInstanceUID": study_uid, "IssuerOfPatientID": issuer}
    values = {name: value for name, value in more.items() if value}
    image = ct_image(PatientID=patient_id, PatientName="CANARY^OTP", **values)
    answer = pacs(stack, "POST", "/instances", data=saved(image))
    assert answer.status_code == 200, answer.text
    return StoredExam(image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID, patient_id)


def shared(stack: Stack, exam: StoredExam, **wishes: Any) -> dict[str, Any]:
    body = {"studyUID": exam.study_uid, "patientID": exam.patient_id, "expiresIn": 3600, "maxUses": 5, **wishes}
    answer = stack.request("POST", "/otps", json=body)
    assert answer.status_code == 201, answer.text
    issued: dict[str, Any] = answer.json()
    return issued


def state(stack: Stack, issued: dict[str, Any]) -> str:
    return str(stack.request("GET", f"/otps/{issued['otpId']}").json()["state"])


def events(stack: Stack, issued: dict[str, Any], harness: Harness) -> list[str]:
    """Give the detail-types of a code's events in the table, in any order, published or not."""
    items = aws.dynamodb().scan(TableName=harness.tables.events)["Items"]
    rows = [aws.from_item(item) for item in items]
    return sorted(row["detailType"] for row in rows if issued["reference"] in str(row.get("detail", "")))


def paths(own: StoredExam, other: StoredExam) -> dict[str, str]:
    """Give what an attacker tries, each with a token of its own: the other patient's and what mixes both."""
    series = f"{own.path}/series/{other.series_uid}"
    return {
        "series": f"{own.path}/series",
        "instances": f"{series}/instances",
        "file": f"{series}/instances/{other.instance_uid}{DICOM}",
        "picture": f"{series}/instances/{other.instance_uid}{JPEG}",
        "series thumbnail": f"{series}/thumbnail",
        "study thumbnail": f"{own.path}/thumbnail",
    }


@pytest.mark.parametrize("what", ["series", "instances", "file", "picture", "series thumbnail", "study thumbnail"])
def test_a_second_patient_closes_the_exam_whatever_is_asked_first(stack: Stack, harness: Harness, what: str) -> None:
    own = into_pacs(stack, f"CANARY-A-{what}")
    issued, neighbour = shared(stack, own), shared(stack, own)
    token = redeem(stack, issued)
    assert stack.request("GET", f"{own.path}/series", key=token).status_code == 200
    # WHEN an image of somebody else comes under the same StudyInstanceUID
    other = into_pacs(stack, "CANARY-B", own.study_uid)
    answer = stack.request("GET", paths(own, other)[what], key=token)
    # THEN it is closed at once, and the next request gets no further than the authorizer
    assert (answer.status_code, answer.json()["code"]) == (403, "EXAM_SUSPENDED")
    again = stack.request("GET", f"{own.path}/thumbnail", key=token)
    assert (again.status_code, again.json()["code"]) == (403, "FORBIDDEN")
    assert state(stack, issued) == "SUSPENDED"
    assert events(stack, issued, harness).count("OTP Suspended") == 1
    # the other code is not redeemed, and nobody gets a new one
    rejected = stack.request("POST", "/otps/redeem", key=None, json={"token": neighbour["token"]})
    assert (rejected.status_code, rejected.json()["code"]) == (401, "OTP_REJECTED")
    assert state(stack, neighbour) == "SUSPENDED"
    body = {"studyUID": own.study_uid, "patientID": own.patient_id}
    new = stack.request("POST", "/otps", json=body)
    assert (new.status_code, new.json()["code"]) == (409, "SEVERAL_PATIENTS")


def test_a_person_opens_it_again_when_the_pacs_is_right(stack: Stack, harness: Harness) -> None:
    own = into_pacs(stack, "CANARY-A-RESUMED")
    issued = shared(stack, own)
    token = redeem(stack, issued)
    other = into_pacs(stack, "CANARY-B", own.study_uid)
    assert stack.request("GET", f"{own.path}/series", key=token).status_code == 403
    resume = f"/otps/{issued['otpId']}/resume"
    rejected = stack.request("POST", resume)
    assert (rejected.status_code, rejected.json()["code"]) == (409, "SEVERAL_PATIENTS")
    # WHEN the other patient's image is gone THEN nothing opens by itself
    query = {"Level": "Instance", "Query": {"SOPInstanceUID": other.instance_uid}}
    (instance,) = pacs(stack, "POST", "/tools/find", json=query).json()
    assert pacs(stack, "DELETE", f"/instances/{instance}").status_code == 200
    assert stack.request("GET", f"{own.path}/series", key=token).status_code == 403
    # WHEN the issuer says so THEN it does
    assert stack.request("POST", resume).status_code == 204
    assert stack.request("GET", f"{own.path}/series", key=token).status_code == 200
    assert events(stack, issued, harness).count("OTP Resumed") == 1
    twice = stack.request("POST", resume)
    assert (twice.status_code, twice.json()["code"]) == (409, "NOT_SUSPENDED")


def test_a_correction_of_the_patient_closes_codes_and_tokens(stack: Stack) -> None:
    own = into_pacs(stack, "CANARY-WRONG")
    used, unused = shared(stack, own), shared(stack, own)
    token = redeem(stack, used)
    picture = f"{own.path}/series/{own.series_uid}/instances/{own.instance_uid}{JPEG}"
    assert stack.request("GET", picture, key=token).status_code == 200
    correct(stack, own.patient_id, "CANARY-RIGHT")
    # The picture of before is in the cache; it is not shown.
    answer = stack.request("GET", picture, key=token)
    assert (answer.status_code, answer.json()["code"]) == (403, "EXAM_SUSPENDED")
    assert stack.request("POST", "/otps/redeem", key=None, json={"token": unused["token"]}).status_code == 401
    resumed = stack.request("POST", f"/otps/{used['otpId']}/resume")
    assert (resumed.status_code, resumed.json()["code"]) == (409, "PATIENT_MISMATCH")
    # the right patient gets a code, and sees the exam
    right = shared(stack, own, patientID="CANARY-RIGHT")
    assert stack.request("GET", picture, key=redeem(stack, right)).status_code == 200


def test_a_code_is_compared_when_it_is_redeemed(stack: Stack) -> None:
    own = into_pacs(stack, "CANARY-REDEEM")
    issued = shared(stack, own)
    into_pacs(stack, "CANARY-B", own.study_uid)
    answer = stack.request("POST", "/otps/redeem", key=None, json={"token": issued["token"]})
    assert (answer.status_code, answer.json()["code"]) == (401, "OTP_REJECTED")
    assert state(stack, issued) == "SUSPENDED"


def test_an_announcement_notices_it_as_well(stack: Stack) -> None:
    own = into_pacs(stack, "CANARY-TOLD")
    issued = shared(stack, own)
    into_pacs(stack, "CANARY-B", own.study_uid)
    body = {"SourceID": "orthanc", "StudyInstanceUID": own.study_uid}
    assert stack.request("POST", "/new-exam-callback", key=stack.values["CALLBACK_KEY"], json=body).status_code == 204
    until = time.monotonic() + 60
    while state(stack, issued) != "SUSPENDED":
        assert time.monotonic() < until, "not suspended"
        time.sleep(0.2)


def test_a_token_of_another_minute_asks_the_pacs_once(stack: Stack, harness: Harness) -> None:
    """GIVEN a picture of the right patient WHEN the minute is over THEN what is not in the cache is closed too."""
    own = into_pacs(stack, "CANARY-MINUTE")
    issued = shared(stack, own)
    token = redeem(stack, issued)
    picture = f"{own.path}/series/{own.series_uid}/instances/{own.instance_uid}{JPEG}"
    assert stack.request("GET", picture, key=token).status_code == 200
    into_pacs(stack, "CANARY-B", own.study_uid)
    # its own picture says whose it is, and is in the cache: nothing more is asked
    assert stack.request("GET", picture, key=token).status_code == 200
    aws.dynamodb().update_item(
        TableName=harness.tables.access_tokens,
        Key=aws.to_item({"tokenHash": token_hash(token)}),
        UpdateExpression="SET comparedAt = comparedAt - :minute",
        ExpressionAttributeValues=aws.to_item({":minute": 61}),
    )
    answer = stack.request("GET", f"{picture}&size=100", key=token)
    assert (answer.status_code, answer.json()["code"]) == (403, "EXAM_SUSPENDED")


def test_codes_are_listed_and_ended_by_study_or_patient(stack: Stack) -> None:
    many = f"CANARY-{secrets.token_hex(4)}"
    first, second = into_pacs(stack, many), into_pacs(stack, many, issuer="ASL1")
    stranger = into_pacs(stack, "CANARY-STRANGER")
    codes = [shared(stack, exam) for exam in (first, first, second, stranger)]
    token = redeem(stack, codes[2])

    def listed(**query: str) -> set[str]:
        answer = stack.request("GET", "/otps", params=query)
        assert answer.status_code == 200, answer.text
        return {entry["otpId"] for entry in answer.json()}

    assert listed(studyUID=first.study_uid) == {code["otpId"] for code in codes[:2]}
    assert listed(patientID=many) == {code["otpId"] for code in codes[:3]}
    assert listed(patientID="CANARY-NOBODY") == set()
    ended = stack.request("DELETE", "/otps", params={"patientID": many})
    assert (ended.status_code, ended.json()) == (200, {"revoked": 3})
    assert [state(stack, code) for code in codes] == ["REVOKED", "REVOKED", "REVOKED", "ACTIVE"]
    assert stack.request("GET", f"{second.path}/series", key=token).status_code == 401
    assert stack.request("DELETE", "/otps", params={"studyUID": stranger.study_uid}).json() == {"revoked": 1}
    for query in ({}, {"patientID": ""}, {"patientID": " "}, {"studyUID": ""}, {"patientID": "a", "studyUID": "1.2"}):
        for method in ("GET", "DELETE"):
            answer = stack.request(method, "/otps", params=query)
            assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_PARAMETER"), (method, query)
