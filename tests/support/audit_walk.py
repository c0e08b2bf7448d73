"""One exam of one patient in a PACS and in every store, and calls of every route about it."""

import importlib
import io
import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_service import aws
from dicom_service.dependencies import pacs
from dicom_service.notifications.feed import COUNTER, feed_key
from dicom_service.uploads.table import UploadsTable
from tests.support import cloud as clouds
from tests.support.archives import pdf_report
from tests.support.cloud import ENVIRONMENT
from tests.support.lambdas import Answer, clear_dependencies, sample_event
from tests.support.otp import master_secret
from tests.support.pacs import Handler, Received, dicom_json
from tests.support.store_requests import request as upload_of
from tests.support.store_requests import stored
from tests.support.template import RESOURCES
from tests.support.viewers import Archive, file_of, image

STUDY, PATIENT = "1.2.826.0.1.67", "CANARY-WALK"
_UPLOAD = "0" * 32
_QUERIES: dict[str, dict[str, str]] = {
    "/exams/studies": {"patientID": PATIENT},
    "/exams/studies/{studyUID}/series/{seriesUID}/instance/{instanceUID}": {"fileType": "application/dicom"},
    "/exams/studies/{studyUID}/series/{seriesUID}/instances/{instanceUID}": {"fileType": "application/dicom"},
    "/dicomweb/studies": {"StudyInstanceUID": STUDY},
    "/workitems": {"patientID": PATIENT},
    "/otps": {"studyUID": STUDY},
    "/token": {"studyUID": STUDY},
    "/audit": {"patientID": PATIENT},
}
_BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/otps"): {"studyUID": STUDY},
    ("POST", "/uploads"): {"files": [{"name": "a", "size": 1}]},
    ("POST", "/uploads/{uploadId}/files/{fileId}/complete"): {"parts": [{"partNumber": 1, "etag": "e"}]},
    ("POST", "/workitems"): {
        "StudyInstanceUID": STUDY,
        "PatientID": PATIENT,
        "PatientName": "CANARY^WALK",
        "AccessionNumber": "A1",
        "Modality": "CT",
        "ScheduledStationAETitle": "CT1",
        "ScheduledProcedureStepStartDate": "2026-11-22",
        "ScheduledProcedureStepStartTime": "10:30",
        "ScheduledProcedureStepDescription": "CT head",
    },
    ("PATCH", "/workitems/{studyInstanceUID}"): {"AccessionNumber": "A2"},
    ("PUT", "/workitems/{studyInstanceUID}/state"): {"State": "CANCELED"},
}


class NamesPatientsWhenAsked(Archive):
    """An archive whose series and instances name their patient only where that is asked for; it also stores."""

    fields = threading.local()

    def _answer(self, handler: Handler, received: Received) -> None:
        self.fields.asked = parse_qs(urlsplit(received.target).query).get("includefield", [])
        if received.method == "POST":
            return dicom_json(stored(str(self.instances[-1].SOPInstanceUID)))(handler, received)
        return super()._answer(handler, received)

    def _rows(self, found: list[Dataset], kind: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        rows = super()._rows(found, kind, query)
        # Studies have to (PS3.18 Table 10.6.3-3).
        for row in rows if kind != "studies" and "PatientID" not in self.fields.asked else ():
            del row["00100020"]
        return rows


class Walk:
    """Calls the functions behind routes."""

    def __init__(self, archive: Archive) -> None:
        self.shown, self.report, self.sent = archive.instances
        self.code: dict[str, Any] = {}

    def call(self, route: tuple[str, str], number: str, context: Mapping[str, str] | None, **asked: str) -> Answer:
        """Call a route about the exam.

        Parameters
        ----------
        number
            The request's id.
        context
            What the authorizer knows of the caller; None for a stranger.
        asked
            The query, instead of the usual one of the route.
        """
        method, resource = route
        function = _function_of(route)
        instance = self.report if resource.endswith("/report") else self.shown
        values = {
            "studyUID": STUDY,
            "studyInstanceUID": STUDY,
            "seriesUID": str(instance.SeriesInstanceUID),
            "instanceUID": str(instance.SOPInstanceUID),
            "uploadId": _UPLOAD,
            "fileId": "0001",
            "frameList": "1",
            "bulkPath": "7FE00010",
            "otpId": self.code.get("otpId", ""),
        }
        given = {name: value for name, value in values.items() if f"{{{name}}}" in resource}
        query = asked or _QUERIES.get(resource) if method in ("GET", "DELETE") else None
        path = resource
        for name, value in given.items():
            path = path.replace(f"{{{name}}}", value)
        body = {"token": self.code.get("token")} if resource == "/otps/redeem" else _BODIES.get(route)
        headers = {"Accept": "*/*", "Host": "api.example.org"}
        event = sample_event(function) | {
            "httpMethod": method,
            "resource": resource,
            "path": path,
            "pathParameters": given or None,
            "queryStringParameters": query,
            "multiValueQueryStringParameters": {name: [text] for name, text in (query or {}).items()} or None,
            "headers": headers,
            "multiValueHeaders": {name: [text] for name, text in headers.items()},
            "body": json.dumps(body) if body else None,
            "isBase64Encoded": False,
        }
        if route == ("POST", "/exams"):
            event |= upload_of(file_of(self.sent), "application/dicom")
        event["requestContext"] = {
            **event["requestContext"],
            "requestId": number,
            "path": f"/v1{path}",
            "authorizer": dict(context) if context else None,
        }
        return Answer(importlib.import_module(f"functions.{function}.app").lambda_handler(event, None))


@contextmanager
def walk(patch: pytest.MonkeyPatch) -> Iterator[Walk]:
    """Give an exam that the PACS, an upload, a report of the PACS, the feed and a code know."""
    archive = NamesPatientsWhenAsked()
    archive.add(image(PATIENT, STUDY), dcmread(io.BytesIO(pdf_report(STUDY, PATIENT))), image(PATIENT, STUDY))
    tables = [name for name, resource in RESOURCES.items() if resource["Type"] == "AWS::DynamoDB::Table"]
    with archive.server() as server, clouds.cloud(patch, {name: name for name in tables if name != "AuditTable"}):
        for secret in ("patients", "master"):
            master_secret(secret)
        settings = {
            "OTP_MASTER_SECRET_ARN": "master",
            "PACS_URL": server.url,
            "CACHE_BUCKET": clouds.bucket("cache"),
            "STAGING_BUCKET": clouds.bucket("staging"),
            "ARCHIVE_QUEUE_URL": clouds.queue("archives"),
            "EXAM_CHECKS_QUEUE_URL": clouds.queue("checks"),
            "FETCH_QUEUE_URL": clouds.queue("fetches"),
        }
        variables = {name for function in _functions() for name in function["Environment"]["Variables"]}
        for variable in (one for one in variables - ENVIRONMENT.keys() if one.endswith("_TABLE")):
            settings[variable] = f"{variable.title().replace('_', '')}"
        for name, value in settings.items():
            patch.setenv(name, value)
        clear_dependencies()
        # Not their packages: a name in text is looked up in the package, which must be that of the new module.
        for name in [name for name in sys.modules if name.startswith("functions.") and name.endswith(".app")]:
            del sys.modules[name]
        _know_the_exam(str(archive.instances[0].SOPInstanceUID))
        made = Walk(archive)
        made.code = made.call(("POST", "/otps"), "known", {"principal": "known", "role": "service"}).json
        yield made
        pacs().close()
        clear_dependencies()


def _know_the_exam(instance_uid: str) -> None:
    fields = {"StudyInstanceUID": STUDY, "PatientID": PATIENT}
    file = {
        **{"name": "a", "size": 1, "state": "stored", "s3UploadId": "s", "finishedAt": 1, "instances": 1},
        **{"studyInstanceUID": STUDY, "sopInstanceUID": instance_uid},
    }
    upload = {"state": "completed", "createdAt": 1, "expiresAt": 2, "files": 1}
    UploadsTable("UploadsTable").create(_UPLOAD, upload, {"0001": file})
    report = {"fields": json.dumps(fields), "receivedAt": 1, "expiresAt": int(time.time()) + 999}
    event = {"eventId": "e", "detailType": "Exam Uploaded", "detail": json.dumps(fields), "createdAt": 1}
    rows = [
        ("ExamsTable", {"StudyInstanceUID": STUDY, "SOPInstanceUID": "#callback", **report}),
        ("ExamEventsTable", {**COUNTER, "position": 1}),
        ("ExamEventsTable", {**feed_key(1), **event, "position": 1, "sequencedAt": 1}),
    ]
    for table, row in rows:
        aws.dynamodb().put_item(TableName=table, Item=aws.to_item(row))


def _functions() -> Iterator[dict[str, Any]]:
    for resource in RESOURCES.values():
        events = resource["Properties"].get("Events", {}).values() if "Properties" in resource else ()
        if any(event["Type"] == "Api" for event in events) and "Environment" in resource["Properties"]:
            yield resource["Properties"]


def _function_of(route: tuple[str, str]) -> str:
    for function in _functions():
        for event in function["Events"].values():
            wanted = event["Properties"]
            if event["Type"] == "Api" and (wanted["Method"], wanted["Path"]) == route:
                return str(function["CodeUri"].strip("/").rpartition("/")[2])
    raise AssertionError(f"no function for {route}")
