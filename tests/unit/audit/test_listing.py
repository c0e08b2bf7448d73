"""``GET …/accesses`` and ``GET /audit``, through the function and the edge."""

import importlib
import json
import sys
import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from botocore.exceptions import ClientError

from dicom_service import aws
from dicom_service.audit.recorder import Recorder
from tests.support.audit import OTHER, STUDY, STUDY_ROUTE, Clock, records, request, serve_once
from tests.support.balp import problems
from tests.support.lambdas import Answer

ACCESSES = f"{STUDY_ROUTE}/accesses"


@pytest.fixture(autouse=True)
def address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBLIC_URL", "https://api.example.org/v1")
    for table in ("ACCESS_TOKENS_TABLE", "OTPS_TABLE", "EXAM_EVENTS_TABLE", "OTP_SUBJECTS_TABLE"):
        monkeypatch.setenv(table, table)
    monkeypatch.setenv("PACS_URL", "http://127.0.0.1:1/dicom-web")


def call(resource: str, *, study: str | None = None, **query: str) -> Answer:
    sys.modules.pop("functions.list_accesses.app", None)
    handler = importlib.import_module("functions.list_accesses.app").lambda_handler
    event = request("GET", resource, study=study, who="officer", role="auditor", query=query or None)
    return Answer(handler({**event, "path": resource.replace("{studyUID}", study or "")}, None))


def all_pages(resource: str, **query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    while True:
        answer = call(resource, **query)
        assert answer.status == 200, answer.body
        rows += answer.json
        if "Link" not in answer.headers:
            return rows
        query = dict(parse_qsl(urlsplit(answer.headers["Link"].partition(">")[0][1:]).query))


def test_the_accesses_of_an_exam_are_its_own_newest_first(recorder: Recorder, clock: Clock) -> None:
    for number in range(3):
        serve_once(recorder, request(who=f"w{number}"))
        serve_once(recorder, request(who=f"w{number}", study=OTHER))
        clock.forward(minutes=1)
    found = call(ACCESSES, study=STUDY)
    assert found.status == 200
    assert [row["who"] for row in found.json] == ["w2", "w1", "w0"]
    assert {row["studyUID"] for row in found.json} == {STUDY}
    assert found.json[0]["event"] == {"code": "110103", "codeSystem": "DCM", "meaning": "DICOM Instances Accessed"}


def test_its_recipient_sees_who_but_neither_from_where_nor_hashes(recorder: Recorder) -> None:
    serve_once(recorder, request(who="portal"))
    handler = importlib.import_module("functions.list_accesses.app").lambda_handler
    event = request("GET", ACCESSES, study=STUDY, who="otp:1", role="exam", query=None)
    event["path"] = ACCESSES.replace("{studyUID}", STUDY)
    allowed = {"studyUID": STUDY, "showAccesses": "true", "comparedAt": str(int(time.time())), "patient": "k1.a."}
    event["requestContext"]["authorizer"] |= allowed
    [row] = Answer(handler(event, None)).json
    assert (row["who"], row["action"], row["address"], row["patientHash"]) == ("portal", "picture", None, None)
    event["queryStringParameters"] = {"format": "fhir"}
    event["multiValueQueryStringParameters"] = {"format": ["fhir"]}
    answer = Answer(handler(event, None))
    assert answer.status == 200
    assert "203.0.113" not in answer.body.decode()


def test_an_exam_that_nobody_saw_has_none_and_asking_is_recorded() -> None:
    assert call(ACCESSES, study=STUDY).json == []
    [row] = call(ACCESSES, study=STUDY).json
    assert (row["who"], row["action"], row["count"]) == ("officer", "audit", 1)


def test_a_patient_is_found_by_the_keyed_hash_and_narrowed_by_who(recorder: Recorder) -> None:
    for who in ("one", "two"):
        for patient in ("CANARY-A", "CANARY-B"):
            event = request("GET", "/exams/studies", study=None, who=who, query={"patientID": patient})
            serve_once(recorder, event)
    found = call("/audit", patientID="CANARY-A")
    # Two by the patient; the call itself is recorded after it has answered.
    assert {row["who"] for row in found.json} == {"one", "two"}
    assert len(found.json) == 2
    assert b"CANARY" not in found.body
    assert [row["who"] for row in call("/audit", patientID="CANARY-A", who="two").json] == ["two"]
    assert call("/audit", patientID="CANARY-C").json == []


def test_a_viewer_and_days_are_found(recorder: Recorder, clock: Clock) -> None:
    for day in range(4):
        serve_once(recorder, request(who=f"w{day % 2}", number=f"r{day}"))
        clock.forward(days=1)
    assert [row["at"][:10] for row in call("/audit", who="w1").json] == ["2026-02-03", "2026-02-01"]
    days = {"from": "20260201", "to": "2026-02-02"}
    assert [row["at"][:10] for row in call("/audit", **days).json] == ["2026-02-02", "2026-02-01"]
    assert [row["at"][:10] for row in call("/audit", who="w0", **days).json] == ["2026-02-02"]
    assert [row["at"][:10] for row in call("/audit", to="20260131").json] == ["2026-01-31"]


@pytest.mark.parametrize("query", [{"who": "w"}, {"from": "20260131", "to": "20260201"}], ids=["viewer", "days"])
def test_pages_have_every_record_once_also_of_one_instant(
    recorder: Recorder, clock: Clock, query: dict[str, str]
) -> None:
    for number in range(30):
        serve_once(recorder, request(who="w", study=f"1.2.{number}"))
        clock.forward(hours=number % 3 == 2)
    found = all_pages("/audit", limit="7", **query)
    assert len(found) == 30
    assert {row["studyUID"] for row in found} == {f"1.2.{number}" for number in range(30)}
    assert [row["at"] for row in found] == sorted((row["at"] for row in found), reverse=True)


@pytest.mark.parametrize(
    "query",
    [{"from": "20260101", "to": "20260301"}, {"cursor": "x"}, {"patientID": "A*"}, {"studyUID": STUDY}, {"limit": "0"}],
)
def test_what_cannot_be_asked_is_400(query: dict[str, str]) -> None:
    found = call("/audit", **query)
    assert (found.status, found.json["code"]) == (400, "INVALID_PARAMETER")


def test_no_answer_leaves_without_its_record(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_once(recorder, request())
    real = aws.dynamodb().update_item

    def refuse(**given: Any) -> None:
        raise ClientError({"Error": {"Code": "InternalServerError", "Message": ""}}, "UpdateItem")

    monkeypatch.setattr(aws.dynamodb(), "update_item", refuse)
    refused = call(ACCESSES, study=STUDY)
    assert (refused.status, refused.json["code"], refused.headers["Retry-After"]) == (503, "UNAVAILABLE", "1")
    assert refused.json["requestId"] == "r1" and "clinic" not in refused.body.decode()
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert len(records()) == 1
    monkeypatch.setattr(aws.dynamodb(), "update_item", real)
    assert call(ACCESSES, study=STUDY).json[0]["who"] == "clinic"


def test_a_route_that_the_audit_does_not_know_is_not_served() -> None:
    found = call(f"{STUDY_ROUTE}/forgotten", study=STUDY)
    assert (found.status, found.json["code"]) == (500, "MISCONFIGURED")
    assert json.loads(found.body)["requestId"] == "r1"


def test_fhir_is_a_bundle_of_the_same_records_page_by_page(recorder: Recorder) -> None:
    for number in range(3):
        serve_once(recorder, request(who=f"w{number}"))
    found = call(ACCESSES, study=STUDY, format="fhir", limit="2")
    assert found.headers["Content-Type"] == "application/fhir+json"
    assert (found.json["resourceType"], len(found.json["entry"])) == ("Bundle", 2)
    assert found.json["link"] == [{"relation": "next", "url": found.headers["Link"].partition(">")[0][1:]}]
    assert not [list(problems(entry["resource"])) for entry in found.json["entry"] if list(problems(entry["resource"]))]
