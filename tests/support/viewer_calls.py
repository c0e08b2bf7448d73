"""Calls the functions for viewers as the gateway does, with one credential or another."""

import importlib
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from dicom_service.dependencies import pacs
from dicom_service.otp.dependencies import hasher
from dicom_service.patient import Patient
from tests.support import cloud as clouds
from tests.support.lambdas import Answer, clear_dependencies, sample_event
from tests.support.otp import master_secret
from tests.support.template import RESOURCES

_TABLES = {
    "OtpsTable": "OTPS_TABLE",
    "AccessTokensTable": "ACCESS_TOKENS_TABLE",
    "ExamEventsTable": "EXAM_EVENTS_TABLE",
    "OtpSubjectsTable": "OTP_SUBJECTS_TABLE",
}


@dataclass
class Viewer:
    """Calls the function of a path, as the gateway does, with one credential or another."""

    modules: dict[str, Any] = field(default_factory=dict)

    def get(self, path: str, *, context: dict[str, str] | None = None, **headers: str) -> Answer:
        """Call with the credential of staff, or with the context that the authorizer found for another."""
        split = urlsplit(path)
        query = parse_qs(split.query, keep_blank_values=True)
        function, parameters = self._route(split.path)
        event = sample_event(function)
        sent = {"Accept-Encoding": "identity", **{name.replace("_", "-"): text for name, text in headers.items()}}
        event |= {
            "path": split.path,
            "pathParameters": parameters,
            "headers": sent,
            "multiValueHeaders": {name: [text] for name, text in sent.items()},
            "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
            "multiValueQueryStringParameters": query or None,
        }
        event["requestContext"] |= {
            "path": f"/v1{split.path}",
            "authorizer": context or {"principal": "clinic", "role": "service"},
        }
        return Answer(self._module(function).lambda_handler(event, None))

    def _module(self, function: str) -> Any:
        if function not in self.modules:
            sys.modules.pop(f"functions.{function}.app", None)
            self.modules[function] = importlib.import_module(f"functions.{function}.app")
        return self.modules[function]

    @staticmethod
    def _route(path: str) -> tuple[str, dict[str, str]]:
        """Return the function of a path by the template's routes, and the parameters in it."""
        wanted = path.strip("/").split("/")
        for resource in RESOURCES.values():
            for event in resource["Properties"].get("Events", {}).values():
                template = event["Properties"].get("Path", "").strip("/").split("/")
                if len(template) == len(wanted) and template[0] == "dicomweb":
                    pairs = list(zip(template, wanted, strict=True))
                    if all(one.startswith("{") or one == other for one, other in pairs):
                        folder = resource["Properties"]["CodeUri"].strip("/").rpartition("/")[2]
                        return folder, {one.strip("{}"): other for one, other in pairs if one.startswith("{")}
        raise AssertionError(f"no route for {path}")

    def token(self, study_uid: str, patient: str = "P1", **changes: str) -> dict[str, str]:
        """Return the context of an exam access token that was compared a moment ago."""
        return {
            "principal": "otp:x",
            "role": "exam",
            "examRole": "diagnostic",
            "studyUID": study_uid,
            "otpId": "7N42SGRQE0K3W9XH",
            "tokenHash": "0" * 64,
            "patient": hasher().hash(Patient(patient)),
            "comparedAt": str(int(time.time())),
            "download": "true",
            **changes,
        }


@contextmanager
def viewing(patch: pytest.MonkeyPatch, url: str, **settings: str) -> Iterator[Viewer]:
    """Give the services for viewers as Lambda runs them: a PACS under a URL, the cloud in process (moto)."""
    with clouds.cloud(patch, {resource: resource for resource in _TABLES}):
        for resource, variable in _TABLES.items():
            patch.setenv(variable, resource)
        clouds.bucket("cache")
        master_secret("patients")
        own = {
            "CACHE_BUCKET": "cache",
            "PATIENT_KEYS_SECRET_ARN": "patients",
            "FETCH_QUEUE_URL": clouds.queue("fetches"),
            "PACS_URL": url,
            "PACS_READ_TIMEOUT": "8",
            "PACS_TOTAL_TIMEOUT": "12",
        }
        for name, value in {**own, **settings}.items():
            patch.setenv(name, value)
        clear_dependencies()
        yield Viewer()
        pacs().close()
        clear_dependencies()
