"""The four functions with the events that API Gateway sends them."""

import base64
import datetime
import importlib
import json
import secrets
import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dicom_service import aws
from dicom_service.audit.actions import PICTURE
from dicom_service.audit.record import Record, Viewer
from dicom_service.audit.store import AuditSettings, AuditWriter
from dicom_service.otp import codes, dependencies
from dicom_service.otp.manage import MOST_ACCESSES
from dicom_service.otp.store import OtpStore
from tests.support.audit import records
from tests.support.cloud import ENVIRONMENT
from tests.support.otp import PATIENT, STUDY, Harness, wrong

EVENTS = Path(__file__).parents[3] / "events"


@pytest.fixture(autouse=True)
def deployed(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wire the functions to the tables and the PACS of the fixture; everything else is as deployed."""
    values = {
        "OTPS_TABLE": harness.tables.otps,
        "ACCESS_TOKENS_TABLE": harness.tables.access_tokens,
        "EXAM_EVENTS_TABLE": harness.tables.events,
        "OTP_MASTER_SECRET_ARN": "master",
        "OTP_SUBJECTS_TABLE": harness.tables.subjects,
        "PATIENT_KEYS_SECRET_ARN": "patients",
        "PACS_URL": "http://127.0.0.1:1",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("dicom_service.pacs.connect", lambda _: harness.pacs)


def sample(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return event


def call(name: str, event: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    answer = importlib.import_module(f"functions.{name}.app").lambda_handler(event or sample(name), None)
    return answer["statusCode"], json.loads(answer["body"]) if answer.get("body") else {}


def with_body(name: str, **body: Any) -> dict[str, Any]:
    return sample(name) | {"body": base64.b64encode(json.dumps(body).encode()).decode()}


def token_request(**query: list[str]) -> dict[str, Any]:
    """The reference's ``GET /token``, which reaches the same function as ``POST /otps``."""
    values = {"studyUID": [STUDY], "patientID": [PATIENT], "user": ["portal-user-7"], "role": ["diagnostic"], **query}
    return sample("issue_otp") | {
        "resource": "/token",
        "path": "/token",
        "httpMethod": "GET",
        "queryStringParameters": {name: found[-1] for name, found in values.items()},
        "multiValueQueryStringParameters": values,
        "body": None,
        "isBase64Encoded": False,
    }


def with_path(name: str, otp_id: str) -> dict[str, Any]:
    return sample(name) | {"path": f"/otps/{otp_id}", "pathParameters": {"otpId": otp_id}}


@pytest.mark.parametrize("secret", ["one", "two", "three"])
def test_settings_are_read_once_in_a_process_and_anew_in_each_test(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTP_MASTER_SECRET_ARN", secret)
    assert dependencies.settings().master_secret == secret
    monkeypatch.setenv("OTP_MASTER_SECRET_ARN", "later")
    assert dependencies.settings().master_secret == secret


def test_from_issue_to_revocation() -> None:
    status, issued = call("issue_otp")
    assert status == 201

    status, granted = call("redeem_otp", with_body("redeem_otp", token=issued["token"]))
    assert status == 200
    assert granted["tokenType"] == "Bearer"

    status, shown = call("get_otp", with_path("get_otp", issued["otpId"]))
    assert (status, shown["uses"], shown["issuer"]) == (200, 1, "portal")

    assert call("revoke_otp", with_path("revoke_otp", issued["otpId"])) == (204, {})
    status, rejected = call("redeem_otp", with_body("redeem_otp", otpId=issued["otpId"], otp=issued["otp"]))
    assert (status, rejected["code"]) == (401, "OTP_REJECTED")


def test_location_names_the_new_one() -> None:
    app = importlib.import_module("functions.issue_otp.app")
    answer = app.lambda_handler(sample("issue_otp"), None)

    otp_id = json.loads(answer["body"])["otpId"]
    assert answer["multiValueHeaders"]["Location"] == [f"https://api.example.org/v1/otps/{otp_id}"]
    assert answer["multiValueHeaders"]["Cache-Control"] == ["no-store"]


def test_token_is_the_references_form() -> None:
    status, answer = call("issue_otp", token_request())

    assert status == 200
    assert list(answer) == ["token", "link"]
    assert answer["link"] == f"https://api.example.org/share#{answer['token']}"
    assert call("redeem_otp", with_body("redeem_otp", token=answer["token"]))[1]["role"] == "diagnostic"


def test_the_sample_code_was_never_issued() -> None:
    assert call("redeem_otp")[0] == 401
    assert call("get_otp")[0] == 404
    assert call("revoke_otp")[0] == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "studyUID"),
        ({"studyUID": "1.2/../3"}, "studyUID"),
        ({"studyUID": 5}, "studyUID"),
        ({"studyUID": "1.2", "patientId": "X"}, "patientId"),
        ({"studyUID": "1.2", "role": "admin"}, "role"),
        ({"studyUID": "1.2", "expiresIn": 59}, "expiresIn"),
        ({"studyUID": "1.2", "expiresIn": 2_592_001}, "expiresIn"),
        ({"studyUID": "1.2", "expiresIn": True}, "expiresIn"),
        ({"studyUID": "1.2", "maxUses": 0}, "maxUses"),
        ({"studyUID": "1.2", "maxUses": 1.5}, "maxUses"),
        ({"studyUID": "1.2", "requireBirthDate": "yes"}, "requireBirthDate"),
        ({"studyUID": "1.2", "download": "no"}, "download"),
        ({"studyUID": "1.2", "showAccesses": "yes"}, "showAccesses"),
        ({"studyUID": "1.2", "role": "diagnostic", "download": False}, "download"),
    ],
)
def test_each_bad_field_is_named(body: dict[str, Any], field: str) -> None:
    status, answer = call("issue_otp", with_body("issue_otp", **body))

    assert (status, answer["code"]) == (400, "INVALID_BODY")
    assert [error["field"] for error in answer["errors"]] == [field]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "otpId"),
        ({"otpId": "A"}, "otp"),
        ({"token": "a.b", "otp": "c"}, "token"),
        ({"token": 5}, "token"),
        ({"token": "a.b", "birthDate": "yesterday"}, "birthDate"),
    ],
)
def test_a_redemption_of_the_wrong_form_is_told_so(body: dict[str, Any], field: str) -> None:
    status, answer = call("redeem_otp", with_body("redeem_otp", **body))

    assert status == 400
    assert field in [error["field"] for error in answer["errors"]]


@pytest.mark.parametrize(
    "key", ["short", "x" * 129, "with a space in it, yes", "0123456789abcdef", "a" * 32, "0-1-0-1-0-1-0-1-0-1-0-1"]
)
def test_an_idempotency_key_that_cannot_be_random_is_rejected(key: str) -> None:
    event = sample("redeem_otp")
    event["headers"]["idempotency-key"] = event["headers"].pop("Idempotency-Key") and key

    status, answer = call("redeem_otp", event)
    assert (status, answer["errors"][0]["field"]) == (400, "Idempotency-Key")


def test_what_makes_random_keys_makes_good_ones() -> None:
    for _ in range(20):
        for key in (str(uuid.uuid4()), uuid.uuid4().hex, secrets.token_urlsafe(16)):
            event = sample("redeem_otp")
            event["headers"]["Idempotency-Key"] = key
            status, answer = call("redeem_otp", event)
            assert (status, answer["code"]) == (401, "OTP_REJECTED")


def test_an_idempotency_key_makes_a_retry_safe() -> None:
    _, issued = call("issue_otp")
    event = with_body("redeem_otp", token=issued["token"])

    first, second = call("redeem_otp", event), call("redeem_otp", event)
    assert first[0] == second[0] == 200
    assert first[1]["accessToken"] == second[1]["accessToken"]


@pytest.mark.parametrize("token", ["7N42SGRQE0K3W9XH", "7N42SGRQE0K3W9XH.", ".", ".20735128", "x" * 200])
def test_a_truncated_token_is_rejected_like_a_wrong_one(token: str) -> None:
    status, answer = call("redeem_otp", with_body("redeem_otp", token=token))

    assert (status, answer["code"]) == (401, "OTP_REJECTED")


def test_an_unknown_query_parameter_is_named() -> None:
    status, answer = call("issue_otp", token_request(study=["x"]))
    assert (status, answer["errors"][0]["field"]) == (400, "study")


def test_download_is_kept_from_issue_to_redemption() -> None:
    for wish, kept in ({}, True), ({"download": True}, True), ({"download": False}, False):
        issued = call("issue_otp", with_body("issue_otp", studyUID=STUDY, **wish))[1]
        assert call("get_otp", with_path("get_otp", issued["otpId"]))[1]["download"] is kept
        assert call("redeem_otp", with_body("redeem_otp", token=issued["token"]))[1]["download"] is kept


def test_whether_the_accesses_are_shown_is_kept_from_issue_to_redemption() -> None:
    for wish, kept in ({}, False), ({"showAccesses": None}, False), ({"showAccesses": True}, True):
        issued = call("issue_otp", with_body("issue_otp", studyUID=STUDY, **wish))[1]
        assert call("get_otp", with_path("get_otp", issued["otpId"]))[1]["showAccesses"] is kept
        assert call("redeem_otp", with_body("redeem_otp", token=issued["token"]))[1]["showAccesses"] is kept


def redeem(**body: Any) -> tuple[int, dict[str, Any]]:
    event = with_body("redeem_otp", **body)
    request = {**event["requestContext"], "requestId": secrets.token_hex(8)}
    # Each try is a request of its own, not the one before again.
    return call("redeem_otp", event | {"requestContext": request, "headers": {}})


def of_redeeming() -> list[dict[str, Any]]:
    return [row for row in records() if row["action"] == "redeem"]


def test_guesses_at_codes_that_do_not_exist_fill_nothing() -> None:
    for number in range(5):
        assert redeem(otpId=f"7N42SGRQE0K3W9X{number}", otp="12345678", studyUID=STUDY)[0] == 400
        assert redeem(otpId=f"7N42SGRQE0K3W9X{number}", otp="12345678")[0] == 401
    found = of_redeeming()
    assert {(row["who"], row["status"], row["count"]) for row in found} == {("unknown", 400, 5), ("unknown", 401, 5)}
    assert not {"study", "patient"} & {name for row in found for name in row}


def test_what_a_code_opened_and_wrong_tries_at_it_are_found_by_its_exam() -> None:
    issued = call("issue_otp")[1]
    for _ in range(3):
        assert redeem(otpId=issued["otpId"], otp=wrong(issued["otp"]))[0] == 401
    assert redeem(token=issued["token"])[0] == 200
    [missed, opened] = sorted(of_redeeming(), key=lambda row: -row["status"])
    assert (missed["status"], missed["count"], opened["status"], opened["count"]) == (401, 3, 200, 1)
    assert missed["study"] == opened["study"] == STUDY
    assert missed["patient"] == opened["patient"] != ""
    assert missed["who"] == opened["who"] == f"otp:{codes.reference(issued['otpId'])}"


@pytest.mark.parametrize("table_answers", [True, False])
def test_no_use_is_counted_before_its_record(table_answers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """GIVEN a redemption that ends at its use THEN it has left its record; where it cannot, there is no use."""
    issued = call("issue_otp")[1]
    uses: list[list[Any]] = []

    def ends(*_: object) -> None:
        uses.append([row.get("status") for row in of_redeeming()])
        raise RuntimeError

    monkeypatch.setattr(OtpStore, "use", ends)
    if not table_answers:
        real = aws.dynamodb().update_item

        def update(**given: Any) -> Any:
            return real(**given | ({"TableName": "gone"} if given["TableName"] == "Audit" else {}))

        monkeypatch.setattr(aws.dynamodb(), "update_item", update)
    status, _ = redeem(token=issued["token"])
    assert (status, uses) == ((500, [[None]]) if table_answers else (503, []))


def accesses_with(otp_id: str) -> Any:
    status, shown = call("get_otp", with_path("get_otp", otp_id))
    assert status == 200
    return shown["accesses"]


def test_the_issuer_sees_the_newest_accesses_with_a_code_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    issued, other = (call("issue_otp")[1] for _ in range(2))
    for code in (issued, other):
        assert redeem(token=code["token"])[0] == 200
    who = codes.viewer(issued["otpId"])
    writer = AuditWriter(AuditSettings(name=ENVIRONMENT["AUDIT_TABLE"]))
    for number in range(1, MOST_ACCESSES + 5):
        at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=number)
        writer.gather(
            [Record(Viewer(who, "exam"), PICTURE, at, f"r{number}", "GET", status=200, study_uid=f"1.{number}")]
        )
    asked: list[tuple[str, int]] = []
    real = aws.dynamodb().query

    def query(**given: Any) -> Any:
        asked.append((given["IndexName"], given["Limit"]))
        return real(**given)

    monkeypatch.setattr(aws.dynamodb(), "query", query)
    newest = [f"r{number}" for number in range(MOST_ACCESSES + 4, 4, -1)]
    assert [row["requestId"] for row in accesses_with(issued["otpId"])] == newest
    assert asked == [("by-viewer", MOST_ACCESSES)]
    [redeemed] = accesses_with(other["otpId"])
    assert (redeemed["who"], redeemed["action"]) == (codes.viewer(other["otpId"]), "redeem")
    assert (redeemed["studyUID"], redeemed["status"]) == (STUDY, 200)


def test_a_code_is_shown_without_its_accesses_while_they_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, log: Any
) -> None:
    issued = call("issue_otp")[1]
    assert accesses_with(issued["otpId"]) == []

    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "InternalServerError", "Message": ""}}, "Query")

    monkeypatch.setattr(aws.dynamodb(), "query", refuse)
    assert accesses_with(issued["otpId"]) is None
    assert "accesses of a code not read" in log.getvalue()
