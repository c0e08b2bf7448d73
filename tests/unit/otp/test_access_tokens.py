"""Exam access tokens: one study's GET routes, while they live and their code is not revoked."""

import importlib
import json
from typing import Any

import pytest

from dicom_service import aws
from dicom_service.auth.access_tokens import kind_of
from dicom_service.auth.route_scope import enforce_route_scope
from dicom_service.errors import Forbidden, Unavailable
from dicom_service.patient import Patient
from tests.support.otp import PATIENT, PORTAL, STUDY, Harness
from tests.support.template import RESOURCES

OTHER = "1.2.826.0.1.3680043.8.498.2"
SERIES = "/exams/studies/{studyUID}/series"


def effect(harness: Harness, token: str, method: str = "GET", resource: str = SERIES, **parameters: str) -> str:
    principal = harness.access_tokens.find(token)
    assert principal is not None
    event = {"httpMethod": method, "resource": resource, "pathParameters": parameters, "methodArn": "arn"}
    return str(principal.policy(event)["policyDocument"]["Statement"][0]["Effect"])


@pytest.fixture
def issued(harness: Harness) -> dict[str, Any]:
    return harness.issue()


@pytest.fixture
def token(harness: Harness, issued: dict[str, Any]) -> str:
    return str(harness.redeem(issued)["accessToken"])


def test_it_says_whom_it_speaks_for(harness: Harness, issued: dict[str, Any], token: str) -> None:
    principal = harness.access_tokens.find(token)

    assert principal is not None
    assert (principal.role, principal.study_uid) == ("exam", STUDY)
    assert (principal.context["otpId"], principal.context["examRole"]) == (issued["otpId"], "patient")
    assert principal.context["download"] == "true"
    # Whose it is, and when the PACS was asked: at the redemption.
    assert harness.hasher.matches(principal.context["patient"], Patient(PATIENT))
    assert principal.context["comparedAt"] == str(int(harness.clock()))
    assert token not in repr(principal)


@pytest.mark.parametrize(
    ("resource", "query", "kind"),
    [
        (SERIES, {}, "lists"),
        ("/exams/studies/{studyUID}/thumbnail", {"size": "512"}, "pictures"),
        (f"{SERIES}/{{seriesUID}}/instances/{{instanceUID}}", {"FileType": "image/png"}, "pictures"),
        (f"{SERIES}/{{seriesUID}}/instances/{{instanceUID}}", {"fileType": "application/dicom"}, "files"),
        (f"{SERIES}/{{seriesUID}}/instances/{{instanceUID}}/report", None, "reports"),
        ("/dicomweb/studies/{studyUID}/series/{seriesUID}/instances/{instanceUID}/frames/{frames}", None, "pictures"),
    ],
)
def test_the_issuer_is_shown_what_is_opened(resource: str, query: dict[str, str] | None, kind: str) -> None:
    assert kind_of({"resource": resource, "queryStringParameters": query}) == kind


def test_signing_out_ends_it_at_once_and_the_issuer_sees_when(
    harness: Harness, issued: dict[str, Any], token: str
) -> None:
    principal = harness.access_tokens.find(token)
    assert principal is not None
    harness.clock.now += 60
    for _ in range(2):  # the second time changes nothing
        harness.access_tokens.end(principal.context["tokenHash"])
        harness.clock.now += 5

    assert harness.access_tokens.find(token) is None
    (use,) = harness.manager.get(issued["otpId"])["redemptions"]
    assert use["signedOutAt"] == "2027-01-15T08:01:00Z"


def test_only_the_token_that_signs_out_is_ended(harness: Harness) -> None:
    issued = harness.issue(max_uses=2)
    one, other = (str(harness.redeem(issued)["accessToken"]) for _ in range(2))
    principal = harness.access_tokens.find(one)
    assert principal is not None
    harness.access_tokens.end(principal.context["tokenHash"])

    assert harness.access_tokens.find(one) is None
    assert harness.access_tokens.find(other)


def test_it_opens_its_own_study_and_nothing_else(harness: Harness, token: str) -> None:
    assert effect(harness, token, studyUID=STUDY) == "Allow"
    assert effect(harness, token, studyUID=OTHER) == "Deny"
    assert effect(harness, token, studyUID=STUDY + ".1") == "Deny"
    assert effect(harness, token) == "Deny"
    assert effect(harness, token, "POST", studyUID=STUDY) == "Deny"
    assert effect(harness, token, resource="/exams/studies") == "Deny"
    assert effect(harness, token, resource="/exams/studies/{studyUID}/callbacks", studyUID=STUDY) == "Deny"
    assert effect(harness, token, resource="/otps/{otpId}", studyUID=STUDY) == "Deny"
    assert effect(harness, token, resource="/workitems/{studyUID}", studyUID=STUDY) == "Deny"


def test_it_ends_with_its_life(harness: Harness, token: str) -> None:
    harness.clock.now += 3599
    assert harness.access_tokens.find(token)
    harness.clock.now += 1
    assert harness.access_tokens.find(token) is None


def test_it_ends_with_the_revocation_of_its_code_at_once(harness: Harness, issued: dict[str, Any], token: str) -> None:
    harness.manager.revoke(issued["otpId"], PORTAL)

    assert harness.access_tokens.find(token) is None


def test_it_outlives_the_expiry_of_its_code(harness: Harness, token: str) -> None:
    harness.clock.now += 700

    assert harness.access_tokens.find(token)


def test_it_ends_when_its_code_is_gone(harness: Harness, issued: dict[str, Any], token: str) -> None:
    aws.dynamodb().delete_item(TableName=harness.tables.otps, Key=aws.to_item({"otpId": issued["otpId"]}))

    assert harness.access_tokens.find(token) is None


def test_its_code_is_kept_as_long_as_it_lives(harness: Harness, issued: dict[str, Any], token: str) -> None:
    row = harness.store.get(issued["otpId"])

    assert row is not None
    assert row.tidy_at > harness.clock() + 3600


def test_truncated_altered_and_foreign_tokens_are_nobodys(harness: Harness, token: str) -> None:
    altered = token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1]
    for bad in (token[:-1], token + "A", altered, token[5:], token.upper(), "exam_" + "A" * 43, ""):
        assert harness.access_tokens.find(bad) is None


def test_an_outage_is_not_taken_for_a_bad_token(harness: Harness, token: str) -> None:
    aws.dynamodb().delete_table(TableName=harness.tables.otps)

    with pytest.raises(Unavailable):
        harness.access_tokens.find(token)


def scoped(path: str, method: str = "GET", study: str | None = STUDY, named: str | None = STUDY) -> dict[str, Any]:
    authorizer = {"role": "exam", "studyUID": study} if study else {"role": "exam"}
    return {
        "httpMethod": method,
        "path": path,
        "pathParameters": {"studyUID": named},
        "requestContext": {"requestId": "r", "authorizer": authorizer},
        "headers": {},
    }


OWN = f"/exams/studies/{STUDY}"


@pytest.mark.parametrize(
    "event",
    [
        scoped(f"/exams/studies/{OTHER}/series"),
        scoped(f"/exams/studies/{OTHER}/series", named=OTHER),
        scoped(f"{OWN}/series", named=OTHER),
        scoped(f"{OWN}/series", "POST"),
        scoped(f"{OWN}/series", study=None),
        scoped(f"{OWN}/series", study=""),
        scoped(f"{OWN}.1/series"),
        scoped(f"{OWN}/callbacks"),
        scoped(f"{OWN}/callbacks/"),
        scoped(f"{OWN}/../{OTHER}/series"),
        scoped(f"{OWN}/%2e%2e/{OTHER}/series"),
        scoped(f"{OWN}%2f..%2f{OTHER}/series"),
        scoped(f"{OWN}//series"),
        scoped(f"/{OWN}/series"),
        scoped(f"/EXAMS/studies/{STUDY}/series"),
        scoped("/exams/studies"),
        scoped("/uid"),
        scoped(""),
    ],
)
def test_the_scope_check_rejects_whatever_leaves_the_study(event: dict[str, Any]) -> None:
    with pytest.raises(Forbidden):
        enforce_route_scope(event)


def test_the_scope_check_lets_the_study_and_other_credentials_pass() -> None:
    enforce_route_scope(scoped(f"{OWN}/series"))
    enforce_route_scope(scoped(f"{OWN}/series/1.2/instances/1.3"))
    enforce_route_scope({"path": "/uid", "requestContext": {"authorizer": {"role": "service"}}})
    enforce_route_scope({"path": "/health", "requestContext": {}})


def routes_of_a_study() -> list[tuple[str, str]]:
    """Return function and path of every route of the template that names a study of the exams."""
    found = []
    for resource in RESOURCES.values():
        for event in resource["Properties"].get("Events", {}).values():
            path = event["Properties"].get("Path", "")
            if path.startswith("/exams/studies/{studyUID}"):
                found.append((resource["Properties"]["CodeUri"].strip("/").rpartition("/")[2], path))
    return sorted(found)


def test_the_routes_of_a_study_are_found() -> None:
    assert len(routes_of_a_study()) >= 5


@pytest.mark.parametrize(("function", "path"), routes_of_a_study())
def test_every_function_checks_the_scope(
    function: str, path: str, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIVEN an authorizer that lets a foreign study through THEN the deployed function itself still rejects."""
    for name, value in {"PACS_URL": "http://127.0.0.1:1/dicom-web", "PACS_TOTAL_TIMEOUT": "1"}.items():
        monkeypatch.setenv(name, value)
    handler = importlib.import_module(f"functions.{function}.app").lambda_handler

    def code(study: str) -> str:
        asked = path.format(studyUID=study, seriesUID="1.2", instanceUID="1.3", frame="1")
        named = {"studyUID": study, "seriesUID": "1.2", "instanceUID": "1.3"}
        event = {**scoped(asked), "resource": path, "pathParameters": named, "multiValueQueryStringParameters": None}
        answered = handler({**event, "queryStringParameters": None}, None)
        return str(json.loads(answered["body"])["code"])

    assert code(OTHER) == "FORBIDDEN"
    # Its own study gets as far as the work, which has no PACS here; what is for staff does not.
    assert (code(STUDY) == "FORBIDDEN") == path.endswith(("/callbacks", "/accesses"))


@pytest.mark.parametrize(
    ("shown", "compared", "passes"),
    [("true", "1", True), ("true", "0", False), ("false", "1", False), ("", "1", False)],
)
def test_who_saw_the_exam_is_behind_its_issuers_word_and_the_comparison(
    shown: str, compared: str, passes: bool
) -> None:
    event = scoped(f"/exams/studies/{STUDY}/accesses")
    event["requestContext"]["authorizer"] |= {"showAccesses": shown, "comparedAt": compared}
    if passes:
        enforce_route_scope(event)
    else:
        with pytest.raises(Forbidden):
            enforce_route_scope(event)
    foreign = scoped(f"/exams/studies/{OTHER}/accesses", named=OTHER)
    foreign["requestContext"]["authorizer"] |= {"showAccesses": shown, "comparedAt": compared}
    with pytest.raises(Forbidden):
        enforce_route_scope(foreign)
