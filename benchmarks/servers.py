"""A PACS and the stores for benchmarks: a real Orthanc and MiniStack on free ports, and handlers called in process."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from benchmarks.files import File
from dicom_service import aws
from dicom_service.audit.actions import ROUTES
from local.ministack import MiniStack
from local.orthanc import Orthanc
from local.processes import free_ports
from local.settings import ROOT, Pacs, Ports, Settings
from local.template import load_template
from tests.support.lambdas import clear_dependencies
from tests.support.otp import MASTER
from tests.support.template import create_table

_SETTING = re.compile(r'\bsetting\(\s*"([A-Z0-9_]+)"')
CACHE_BUCKET, EXAMS_TABLE = "benchmark-cache", "Exams"
PACS_SECRET, PATIENT_KEYS = "pacs", "patient-keys"
INSTANCES_TABLE, AUDIT_TABLE = "Instances", "Audit"


class WorkNotDone(RuntimeError):
    """A side of a benchmark did not do what it was timed for: its time says nothing."""


@dataclass(frozen=True)
class Servers:
    """What a benchmark talks to.

    Parameters
    ----------
    pacs
        The PACS, to be asked past the service.
    http
        A session with the PACS's credentials that keeps its connection open.
    """

    pacs: Pacs
    http: requests.Session

    def apart(self) -> Servers:
        """Return the same with a connection of its own: the PACS answers one that is used more often faster."""
        return replace(self, http=http_session(self.pacs))

    def store(self, *files: bytes) -> requests.Response:
        """Send DICOM files to the PACS as they are (STOW-RS), with nothing but `requests`."""
        return self.send(*stow_body(*files))

    def send(self, content_type: str, body: Any) -> requests.Response:
        headers = {"Content-Type": content_type, "Accept": "application/dicom+json"}
        response = self.http.post(f"{self.pacs.url}/studies", data=body, headers=headers, timeout=300)
        response.raise_for_status()
        return response

    def search(self, *instance_uids: str) -> list[Any]:
        """Search the whole PACS for instances, with nothing but `requests`; none for those that it does not have."""
        fields = "&includefield=StudyInstanceUID&includefield=SeriesInstanceUID"
        url = f"{self.pacs.url}/instances?SOPInstanceUID={','.join(instance_uids)}{fields}"
        response = self.http.get(url, headers={"Accept": "application/dicom+json"}, timeout=60)
        response.raise_for_status()
        found: list[Any] = response.json() if response.content.strip() else []
        return found

    def orthanc(self, method: str, path: str, **options: Any) -> Any:
        """Ask the PACS by its own API, past DICOMweb; some of its answers are empty."""
        url = self.pacs.url.removesuffix("/dicom-web") + path
        response = self.http.request(method, url, timeout=60, **options)
        response.raise_for_status()
        return response.json() if response.content else None

    def check_stored(self, files: Iterable[File]) -> None:
        """Compare what the PACS has with what was sent.

        Raises
        ------
        WorkNotDone
            An instance is missing, or there is one that was not sent.
        """
        sent: dict[str, set[str]] = {}
        for file in files:
            sent.setdefault(file.study_uid, set()).add(file.instance_uid)
        if not sent:
            raise WorkNotDone("nothing was sent")
        for study_uid, uids in sent.items():
            found = self.orthanc("POST", "/tools/lookup", data=study_uid)
            ids = [entry["ID"] for entry in found if entry["Type"] == "Study"]
            rows = [row for each in ids for row in self.orthanc("GET", f"/studies/{each}/instances")]
            stored = {row["MainDicomTags"]["SOPInstanceUID"] for row in rows}
            if stored != uids:
                unsent = len(stored - uids)
                raise WorkNotDone(f"the PACS has {len(stored & uids)} of {len(uids)} instances, and {unsent} others")

    def forget(self, files: Iterable[File]) -> None:
        """Delete the studies of these files from the PACS, so that the next side finds as little there as this one."""
        for study_uid in {file.study_uid for file in files}:
            for entry in self.orthanc("POST", "/tools/lookup", data=study_uid):
                if entry["Type"] == "Study":  # a series may have the same UID
                    self.orthanc("DELETE", f"/studies/{entry['ID']}")


def check_registered(files: Iterable[File]) -> None:
    """Compare the registry of exams and the claims with what was sent.

    Raises
    ------
    WorkNotDone
        An instance is not in one of the tables.
    """
    sent: dict[str, set[str]] = {}
    for file in files:
        sent.setdefault(file.study_uid, set()).add(file.instance_uid)
    keys = [{"SOPInstanceUID": uid} for uids in sent.values() for uid in uids]
    claimed = [item for item in aws.batch_get(INSTANCES_TABLE, keys, consistent=True) if item["digest"]]
    if len(claimed) < len(keys):
        raise WorkNotDone(f"{len(keys) - len(claimed)} of {len(keys)} instances are not claimed")
    pages = aws.dynamodb().get_paginator("query")
    for study_uid, uids in sent.items():
        found = pages.paginate(
            TableName=EXAMS_TABLE,
            KeyConditionExpression="StudyInstanceUID = :study",
            ExpressionAttributeValues={":study": {"S": study_uid}},
            ConsistentRead=True,
        )
        registered = {item["SOPInstanceUID"]["S"] for page in found for item in page["Items"]}
        if not uids <= registered:
            raise WorkNotDone(f"{len(uids - registered)} of {len(uids)} instances are not registered")


def http_session(pacs: Pacs) -> requests.Session:
    """Return a session with the PACS's credentials that opens a connection again which the PACS has closed.

    Orthanc closes what was idle for a second, maybe while the next request is on its way.
    """
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=Retry(2, allowed_methods=None)))
    session.trust_env = False
    session.auth = (pacs.user, pacs.password)
    return session


def forget_settings() -> None:
    """Remove from the environment what the functions would obey: settings of a shell would change what is measured."""
    template = load_template(ROOT / "template.yaml")
    functions = [
        template["Globals"]["Function"],
        *(each.get("Properties", {}) for each in template["Resources"].values()),
    ]
    names = {name for each in functions for name in each.get("Environment", {}).get("Variables", {})}
    for path in (ROOT / "layers").rglob("*.py"):
        # Those that no parameter sets.
        names.update(_SETTING.findall(path.read_text()))
    for name in names:
        os.environ.pop(name, None)


@contextmanager
def running() -> Iterator[Servers]:
    """Start both servers, point the process's environment at them, and stop them in the end."""
    with tempfile.TemporaryDirectory(prefix="dicom-service-bench-") as folder:
        settings = Settings(Path(folder), Ports(*free_ports(3)))
        settings.prepare()
        orthanc, cloud = Orthanc(settings), MiniStack(settings)
        before = dict(os.environ)
        try:
            orthanc.start()
            cloud.start()
            forget_settings()
            os.environ.update(settings.aws_environment())
            os.environ.update(_make_stores(orthanc.pacs()))
            aws.forget_clients()
            yield Servers(orthanc.pacs(), http_session(orthanc.pacs()))
        finally:
            os.environ.clear()
            os.environ.update(before)
            cloud.stop()
            orthanc.stop()


def _make_stores(pacs: Pacs) -> dict[str, str]:
    """Make table, queue, bucket and secret; give the environment of the functions that use them."""
    create_table(boto3.client("dynamodb"), "ExamsTable", EXAMS_TABLE)
    create_table(boto3.client("dynamodb"), "InstancesTable", INSTANCES_TABLE)
    create_table(boto3.client("dynamodb"), "AuditTable", AUDIT_TABLE)
    boto3.client("s3").create_bucket(Bucket=CACHE_BUCKET)
    secret = f'{{"username": "{pacs.user}", "password": "{pacs.password}"}}'
    boto3.client("secretsmanager").create_secret(Name=PACS_SECRET, SecretString=secret)
    boto3.client("secretsmanager").create_secret(Name=PATIENT_KEYS, SecretString=json.dumps(MASTER))
    return {
        "PACS_URL": pacs.url,
        "PACS_AUTH": pacs.auth,
        "PACS_QUIRKS": pacs.quirks,
        "PACS_SECRET_ARN": PACS_SECRET,
        "PATIENT_KEYS_SECRET_ARN": PATIENT_KEYS,
        "EXAMS_TABLE": EXAMS_TABLE,
        "INSTANCES_TABLE": INSTANCES_TABLE,
        "AUDIT_TABLE": AUDIT_TABLE,
        "EXAM_CHECKS_QUEUE_URL": boto3.client("sqs").create_queue(QueueName="checks")["QueueUrl"],
        "CACHE_BUCKET": CACHE_BUCKET,
        "FETCH_QUEUE_URL": boto3.client("sqs").create_queue(QueueName="fetches")["QueueUrl"],
    }


def function(name: str) -> ModuleType:
    """Import a function's module anew, as Lambda does at a cold start."""
    clear_dependencies()
    spec = importlib.util.spec_from_file_location(f"{name}_app", ROOT / "functions" / name / "app.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def api_event(
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> dict[str, Any]:
    """Make the event that a REST API with binary media types sends a function (proxy integration)."""
    resource, parameters = _route(method, path)
    all_headers = {"Host": "api.example.org", "X-Forwarded-Proto": "https", "Accept": "*/*", **(headers or {})}
    return {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": all_headers,
        "multiValueHeaders": {name: [value] for name, value in all_headers.items()},
        "queryStringParameters": dict(query) if query else None,
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} if query else None,
        "pathParameters": parameters or None,
        "stageVariables": None,
        "requestContext": {
            "requestId": str(uuid.uuid4()),
            "stage": "v1",
            "path": f"/v1{path}",
            "httpMethod": method,
            "identity": {"sourceIp": "192.0.2.1"},
        },
        "body": base64.b64encode(body).decode() if body else None,
        "isBase64Encoded": bool(body),
    }


def _route(method: str, path: str) -> tuple[str, dict[str, str]]:
    """Return the template of a path and its parameters, as the gateway matches them."""
    for known, template in ROUTES:
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template)
        if known == method and (found := re.fullmatch(pattern, path)):
            return template, found.groupdict()
    return path, {}


def stow_body(*files: bytes) -> tuple[str, bytes]:
    """Make the body of a STOW-RS request, and its content type."""
    boundary = uuid.uuid4().hex
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = b"".join(piece for file in files for piece in (head, file, b"\r\n")) + f"--{boundary}--\r\n".encode()
    return f'multipart/related; type="application/dicom"; boundary={boundary}', body


def form_body(file: bytes) -> tuple[str, bytes]:
    """Make the body that ``curl -F file=@…`` sends, and its content type."""
    boundary = f"------------------------{uuid.uuid4().hex[:22]}"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="image.dcm"\r\n'
    head += "Content-Type: application/octet-stream\r\n\r\n"
    return f"multipart/form-data; boundary={boundary}", head.encode() + file + f"\r\n--{boundary}--\r\n".encode()
