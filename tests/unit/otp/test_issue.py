"""Issuing: the exam must be there and the patient's, and nothing that is kept or said gives the code away."""

import io
import json
import logging
from typing import Any

import pytest

from dicom_service import aws
from dicom_service.errors import Conflict, NotFound
from dicom_service.otp.external_viewer import ViewerSettings
from dicom_service.otp.requests import IssueRequest
from tests.support.otp import API, BIRTH_DATE, PATIENT, PORTAL, STUDY, FakePacs, Harness, events_of, study, wrong

OTHER_STUDY = "1.2.826.0.1.3680043.8.498.2"


def test_what_the_issuer_gets(harness: Harness) -> None:
    issued = harness.issue(expires_in=600)

    assert issued["token"] == f"{issued['otpId']}.{issued['otp']}"
    assert issued["expiresAt"] == "2027-01-15T08:10:00Z"
    assert issued["attemptsLeft"] == 5
    assert issued["link"] == f"{API}/share#{issued['token']}"
    assert len(issued["otp"]) == 8
    assert len(harness.issue(expires_in=601)["otp"]) == 13


def test_an_exam_that_is_not_there_is_not_found(harness: Harness) -> None:
    with pytest.raises(NotFound):
        harness.issue(study_uid=OTHER_STUDY)


def test_a_pacs_that_ignores_the_filter_opens_nothing_else(harness: Harness) -> None:
    harness.pacs = FakePacs(study(), ignores_filters=True)

    with pytest.raises(NotFound):
        harness.issue(study_uid=OTHER_STUDY)


def test_another_patients_exam_is_a_conflict(harness: Harness) -> None:
    with pytest.raises(Conflict) as caught:
        harness.issue(patient_id="SOMEBODY-ELSE")
    assert caught.value.code == "PATIENT_MISMATCH"


def test_without_a_patient_the_exam_alone_decides(harness: Harness) -> None:
    assert harness.issue(patient_id=None)["otpId"]


@pytest.mark.parametrize("patient", [PATIENT, None])
def test_an_exam_of_two_patients_is_shared_with_neither(harness: Harness, patient: str | None) -> None:
    harness.pacs = FakePacs(study(), study(patient="SECOND"))

    with pytest.raises(Conflict) as caught:
        harness.issue(patient_id=patient)
    assert caught.value.code == "SEVERAL_PATIENTS"


def test_a_birth_date_the_pacs_lacks_cannot_be_asked_for(harness: Harness) -> None:
    harness.pacs = FakePacs(study(birth_date=None))

    with pytest.raises(Conflict) as caught:
        harness.issue(require_birth_date=True)
    assert caught.value.code == "NO_BIRTH_DATE"


def test_nothing_issued_when_it_is_rejected(harness: Harness) -> None:
    with pytest.raises(Conflict):
        harness.issue(patient_id="SOMEBODY-ELSE")

    assert aws.dynamodb().scan(TableName=harness.tables.otps)["Count"] == 0


def test_codes_tokens_and_patients_are_in_no_table_and_no_log_line(harness: Harness, log: io.StringIO) -> None:
    """GIVEN every way a code can go WHEN all tables and lines are searched THEN no secret and no patient is there."""
    long, dated = harness.issue(expires_in=90_000, user="CANARY-USER"), harness.issue(require_birth_date=True)
    tokens = [
        harness.redeem(long)["accessToken"],
        harness.redeem(dated, birth_date=BIRTH_DATE, nonce="n" * 20)["accessToken"],
    ]
    burnt = harness.issue()
    for _ in range(6):
        with pytest.raises(Exception, match="not accepted"):
            harness.redeem(burnt, code=wrong(burnt["otp"]))
    harness.manager.revoke(long["otpId"], PORTAL)
    lines = log.getvalue()
    tables = [aws.dynamodb().scan(TableName=name)["Items"] for name in vars(harness.tables).values()]
    kept = json.dumps(tables)

    for secret in (long["otp"], dated["otp"], burnt["otp"], *tokens, "n" * 20, BIRTH_DATE, "CANARY-PAT", "CANARY^"):
        assert secret not in kept
        assert secret not in lines
    assert "CANARY-USER" not in lines
    assert STUDY not in lines
    # The search does find what is there.
    assert long["otpId"] in kept
    assert long["reference"] in lines
    assert long["otpId"] not in lines


def audit_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line)["audit"] for line in text.splitlines() if '"audit"' in line]


def test_every_audit_event_leaves_a_line_with_dicoms_codes(harness: Harness, log: io.StringIO) -> None:
    issued, burnt = harness.issue(), harness.issue()
    harness.redeem(issued)
    for _ in range(5):
        with pytest.raises(Exception, match="not accepted"):
            harness.redeem(burnt, code=wrong(burnt["otp"]))
    harness.manager.revoke(issued["otpId"], PORTAL)

    lines = audit_lines(log.getvalue())
    seen = [
        (line["EventID"]["csd-code"], line["EventTypeCode"]["csd-code"], line["EventOutcomeIndicator"])
        for line in lines
    ]
    rejected, alert = ("110114", "110122", 4), ("110113", "110137", 0)
    assert seen == [
        alert,
        alert,
        ("110114", "110122", 0),
        *[rejected] * 4,
        ("110113", "110132", 4),
        rejected,
        alert,
    ]
    assert lines[0]["ActiveParticipant"]["UserID"] == "portal"
    assert lines[2]["ActiveParticipant"]["NetworkAccessPointID"] == "198.51.100.9"
    assert lines[3]["EventOutcomeDescription"] == "wrong"
    assert all(line["ParticipantObject"]["studyHash"] for line in lines)


def test_a_quiet_log_does_not_silence_the_audit_trail(harness: Harness, capsys: pytest.CaptureFixture[str]) -> None:
    service = logging.getLogger("dicom-service")
    level = service.level
    service.setLevel("CRITICAL")
    try:
        harness.issue()
    finally:
        service.setLevel(level)

    assert len(audit_lines(capsys.readouterr().out)) == 1


def test_a_link_is_made_from_the_template(harness: Harness) -> None:
    harness.viewer = ViewerSettings(link="https://viewer.example/#/{studyUID}?t={token}&role={role}")

    issued = harness.issue(role="diagnostic")

    assert issued["link"] == f"https://viewer.example/#/{STUDY}?t={issued['token']}&role=diagnostic"


def test_the_link_says_that_a_birth_date_will_be_asked_for(harness: Harness) -> None:
    issued = harness.issue(require_birth_date=True)

    assert issued["link"] == f"{API}/share#{issued['token']}&birthDate"


def test_token_gives_the_same_as_otps_in_the_references_form(harness: Harness) -> None:
    answer = harness.issuer.token(IssueRequest(STUDY, PATIENT), PORTAL, API)

    assert answer["link"] == f"{API}/share#{answer['token']}"
    otp_id, _, code = answer["token"].partition(".")
    assert harness.redeem({"otpId": otp_id, "otp": code})["role"] == "patient"


def test_the_issuer_sees_uses_attempts_and_requests(harness: Harness) -> None:
    issued = harness.issue(max_uses=2, user="Dr Rossi")
    token = harness.redeem(issued)["accessToken"]
    harness.clock.now += 30
    for kind in ("pictures", "pictures", "lists"):
        assert harness.access_tokens.find(token, kind)
    shown = harness.manager.get(issued["otpId"])

    assert shown["state"] == "ACTIVE"
    assert shown["user"] == "Dr Rossi"
    assert (shown["uses"], shown["maxUses"], shown["attempts"], shown["attemptsLeft"]) == (1, 2, 0, 5)
    assert shown["lastUse"] == "2027-01-15T08:00:00Z"
    assert shown["redemptions"] == [
        {
            "at": "2027-01-15T08:00:00Z",
            "accessTokenExpiresAt": "2027-01-15T09:00:00Z",
            "requests": 3,
            "lastRequestAt": "2027-01-15T08:00:30Z",
            "network": "198.51.100.0/24",
            "opened": {"lists": 1, "pictures": 2, "reports": 0, "files": 0},
            "signedOutAt": None,
        }
    ]


def test_what_was_never_issued_is_neither_shown_nor_revoked(harness: Harness) -> None:
    with pytest.raises(NotFound):
        harness.manager.get("A" * 16)
    with pytest.raises(NotFound):
        harness.manager.revoke("../", PORTAL)


def test_revoking_twice_says_it_once(harness: Harness) -> None:
    issued = harness.issue()
    harness.manager.revoke(issued["otpId"], PORTAL)
    harness.manager.revoke(issued["otpId"], PORTAL)

    assert events_of(harness.tables) == ["OTP Issued", "OTP Revoked"]
