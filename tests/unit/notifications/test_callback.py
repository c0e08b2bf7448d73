"""POST /new-exam-callback: the reference's fields, null, unknown ones kept; 204 only once it is durable."""

import datetime
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dicom_service import aws
from dicom_service.notifications.callback import read_callback
from functions.list_callbacks import app as reader
from functions.receive_callback import app as function
from tests.support.cloud import queue
from tests.support.notifications import EXAMS, drain

pytestmark = pytest.mark.usefixtures("cloud")

REFERENCE = {
    "SourceID": "PACS1",
    "AccessionNumber": "A1",
    "StudyInstanceUID": "1.2.3",
    "PatientID": "P1",
    "NumberOfStudyRelatedSeries": 2,
    "NumberOfStudyRelatedInstances": "30",
    "ModalitiesInStudy": ["CT", "SR"],
    "AeTitles": ["CT1"],
    "StationNames": None,
    "EventType": "CREATED",
    "StudyDate": "20260101",
    "StudyTime": None,
    "StudyID": "1",
    "ReferringPhysicianName": "A^B",
    "StudyDescription": None,
    "PatientName": "ROSSI^MARIO",
    "PatientBirthDate": "19700101",
    "PatientSex": "M",
}


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], dict[str, Any]]:
    monkeypatch.setenv("EXAMS_TABLE", EXAMS)
    monkeypatch.setenv("EXAM_CHECKS_QUEUE_URL", queue("checks"))

    def send(body: Any) -> dict[str, Any]:
        event = {
            "resource": "/new-exam-callback",
            "path": "/new-exam-callback",
            "httpMethod": "POST",
            "headers": {},
            "requestContext": {"requestId": "r", "httpMethod": "POST", "resourcePath": "/new-exam-callback"},
            "body": body if isinstance(body, str) else json.dumps(body),
            "isBase64Encoded": False,
        }
        answer: dict[str, Any] = function.lambda_handler(event, None)
        return answer

    return send


def kept() -> dict[str, Any] | None:
    key = aws.to_item({"StudyInstanceUID": "1.2.3", "SOPInstanceUID": "#callback"})
    found = aws.dynamodb().get_item(TableName=EXAMS, Key=key)
    return json.loads(aws.from_item(found["Item"])["fields"]) if "Item" in found else None


@pytest.mark.parametrize("body", [REFERENCE, {**REFERENCE, "Extra": {"deep": [1.5, None]}}])
def test_the_references_body_is_kept_and_leaves_a_check(call: Callable[[Any], dict[str, Any]], body: Any) -> None:
    # WHEN the PACS reports an exam
    answer = call(body)
    # THEN 204, all fields are kept, and the check names the exam and nothing else of it
    assert answer["statusCode"] == 204
    assert kept() == body
    (message,) = drain(queue("checks"))
    assert json.loads(message["Body"]) == {"StudyInstanceUID": "1.2.3", "reason": "callback"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"SourceID": None}, "SourceID"),
        ({"StudyInstanceUID": None}, "StudyInstanceUID"),
        ({"StudyInstanceUID": ""}, "StudyInstanceUID"),
        ({"StudyInstanceUID": "../1.2"}, "StudyInstanceUID"),
        ({"StudyInstanceUID": "1" * 65}, "StudyInstanceUID"),
        ({"StudyInstanceUID": 12}, "StudyInstanceUID"),
        ({"NumberOfStudyRelatedSeries": "many"}, "NumberOfStudyRelatedSeries"),
        ({"NumberOfStudyRelatedInstances": True}, "NumberOfStudyRelatedInstances"),
        ({"ModalitiesInStudy": [1]}, "ModalitiesInStudy"),
        ({"PatientName": {"Alphabetic": "X"}}, "PatientName"),
    ],
)
def test_a_bad_field_is_named_and_nothing_is_kept(
    call: Callable[[Any], dict[str, Any]], change: dict[str, Any], field: str
) -> None:
    answer = call({**REFERENCE, **change})
    assert answer["statusCode"] == 400
    assert [error["field"] for error in json.loads(answer["body"])["errors"]] == [field]
    assert kept() is None
    assert drain(queue("checks")) == []


@pytest.mark.parametrize("body", ["", "[]", "{", "null"])
def test_a_body_that_is_no_json_object_is_rejected(call: Callable[[Any], dict[str, Any]], body: str) -> None:
    assert call(body)["statusCode"] == 400


@pytest.mark.parametrize("step", ["put_item", "send_message_batch"])
def test_no_204_unless_it_is_durable(
    call: Callable[[Any], dict[str, Any]], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    # GIVEN a table or a queue that is unavailable
    def fail(**_: object) -> None:
        raise ClientError({"Error": {"Code": "InternalError"}}, step)

    client = aws.dynamodb() if step == "put_item" else aws.sqs()
    monkeypatch.setattr(client, step, fail)
    # THEN the PACS has to report again
    assert call(REFERENCE)["statusCode"] == 503


def listed(study: str = "1.2.3", **query: str) -> dict[str, Any]:
    path = f"/exams/studies/{study}/callbacks"
    event = {
        "resource": "/exams/studies/{studyUID}/callbacks",
        "path": path,
        "httpMethod": "GET",
        "headers": {},
        "pathParameters": {"studyUID": study},
        "queryStringParameters": query or None,
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} or None,
        "requestContext": {"requestId": "r", "httpMethod": "GET", "authorizer": {"role": "reader"}},
        "body": None,
        "isBase64Encoded": False,
    }
    answer: dict[str, Any] = reader.lambda_handler(event, None)
    return answer


def test_the_last_report_is_read_back_as_it_came(call: Callable[[Any], dict[str, Any]]) -> None:
    # GIVEN no report, then two
    assert (listed()["statusCode"], json.loads(listed()["body"])) == (200, [])
    call({**REFERENCE, "StudyDescription": "first"})
    call(REFERENCE)
    # THEN the last one is read back, and another study's list stays empty
    (report,) = json.loads(listed()["body"])
    assert report["fields"] == REFERENCE
    assert datetime.datetime.fromisoformat(report["receivedAt"]).tzinfo is not None
    assert json.loads(listed("1.2.4")["body"]) == []


def test_a_report_whose_time_is_over_is_not_read_although_it_is_still_there(
    call: Callable[[Any], dict[str, Any]],
) -> None:
    call(REFERENCE)
    now = time.time()
    assert read_callback(EXAMS, "1.2.3", clock=lambda: now + 89 * 86_400) is not None
    assert read_callback(EXAMS, "1.2.3", clock=lambda: now + 91 * 86_400) is None
    assert kept() is not None


def test_invalid_requests_for_reports_are_400(call: Callable[[Any], dict[str, Any]]) -> None:
    assert listed("1..2")["statusCode"] == 400
    assert listed(patientID="P1")["statusCode"] == 400


def test_reports_are_503_while_their_table_is_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMS_TABLE", "none")
    assert listed()["statusCode"] == 503
