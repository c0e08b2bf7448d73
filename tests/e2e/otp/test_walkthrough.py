"""The walk-through of docs/otp.md, over HTTP."""

from tests.support.otp_stack import StoredExam, issue, redeem
from tests.support.stack import Stack


def test_issue_redeem_and_revoke(stack: Stack, exam: StoredExam, other_exam: StoredExam) -> None:
    issued = issue(stack, exam, user="Mario Rossi", expiresIn=86_400)
    token = redeem(stack, issued)

    picture = stack.request("GET", f"{exam.path}/thumbnail", key=token)
    assert picture.status_code == 200
    assert picture.headers["Content-Type"] == "image/jpeg"
    assert picture.content[:2] == b"\xff\xd8"
    assert stack.request("GET", f"{other_exam.path}/thumbnail", key=token).status_code == 403
    shown = stack.request("GET", f"/otps/{issued['otpId']}").json()
    assert (shown["state"], shown["uses"], shown["user"]) == ("USED", 1, "Mario Rossi")
    assert shown["redemptions"][0]["requests"] == 2

    assert stack.request("DELETE", f"/otps/{issued['otpId']}").status_code == 204
    assert stack.request("GET", f"{exam.path}/thumbnail", key=token).status_code == 401
    assert stack.request("GET", f"/otps/{issued['otpId']}").json()["state"] == "REVOKED"


def test_the_references_form_issues_too(stack: Stack, exam: StoredExam) -> None:
    query = {"studyUID": exam.study_uid, "patientID": exam.patient_id, "user": "u1", "role": "diagnostic"}
    answer = stack.request("GET", "/token", params=query)

    assert answer.status_code == 200
    granted = stack.request("POST", "/otps/redeem", key=None, json={"token": answer.json()["token"]})
    assert (granted.status_code, granted.json()["role"]) == (200, "diagnostic")


def test_the_pacs_decides_whose_exam_it_is(stack: Stack, exam: StoredExam) -> None:
    wrong = stack.request("POST", "/otps", json={"studyUID": exam.study_uid, "patientID": "SOMEBODY"})
    absent = stack.request("GET", "/token", params={"studyUID": "1.2.3.4", "patientID": "SOMEBODY"})

    assert (wrong.status_code, wrong.json()["code"]) == (409, "PATIENT_MISMATCH")
    assert (absent.status_code, absent.json()["code"]) == (404, "NO_SUCH_EXAM")


def test_the_birth_date_is_the_one_in_the_pacs(stack: Stack, exam: StoredExam) -> None:
    issued = issue(stack, exam, requireBirthDate=True)
    body = {"otpId": issued["otpId"].lower(), "otp": issued["otp"]}

    for birth_date in ({}, {"birthDate": "1961-04-13"}):
        rejected = stack.request("POST", "/otps/redeem", key=None, json=body | birth_date)
        assert (rejected.status_code, rejected.json()["code"]) == (401, "OTP_REJECTED")
    assert stack.request("POST", "/otps/redeem", key=None, json=body | {"birthDate": "1961-04-12"}).status_code == 200
    assert stack.request("GET", f"/otps/{issued['otpId']}").json()["attempts"] == 2
