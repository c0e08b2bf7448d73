"""Guards that were tried in process alone: where credentials may go, how long uploads live, what a summary may weigh,
and where an error ends that nobody foresaw.
"""

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from dicom_service.ingest.batch import MOST_ERRORS
from dicom_service.outbox import LARGEST_DETAIL
from tests.support.deployed import variables
from tests.support.exams import exam, feed, upload
from tests.support.faults import FaultyProxy
from tests.support.stack import Stack
from tests.support.staged import progress, send, stage
from tests.support.upload_files import dicom
from tests.support.waiting import wait_for

_SERIES = 1200


def test_no_credential_of_the_pacs_leaves_over_plain_http(stack: Stack) -> None:
    with FaultyProxy(stack.pacs.url, basic=(stack.pacs.user, stack.pacs.password)) as proxy:
        # This machine under a name that does not say so: credentials may go to the loopback.
        plain = proxy.url.replace("127.0.0.1", "0.0.0.0")
        with variables(stack, "ListExamsFunction", PACS_URL=plain, LOCAL_MODE="false"):
            refused = stack.request("GET", "/exams/studies", params={"limit": "1"})
        assert (refused.status_code, refused.json()["code"]) == (500, "MISCONFIGURED")
        assert proxy.asked.total() == 0
        # Control: where no TLS is asked for, they go there and open the PACS.
        with variables(stack, "ListExamsFunction", PACS_URL=plain):
            assert stack.request("GET", "/exams/studies", params={"limit": "1"}).status_code == 200
        assert proxy.asked.total() >= 1


def test_an_upload_that_its_client_gave_up_ends_with_what_came(stack: Stack) -> None:
    # GIVEN an upload of which one file came, one never does, and one in parts was begun
    study = f"2.25.{uuid.uuid4().int}"
    content = dicom(1, study=study)
    wanted = [{"name": "a", "size": len(content)}, {"name": "b", "size": 512}, {"name": "c", "size": 100 << 20}]
    opened = stack.request("POST", "/uploads", json={"files": wanted}).json()
    form, upload_id = opened["files"][0], opened["uploadId"]
    assert requests.post(form["url"], data=form["fields"], files={"file": content}, timeout=60).status_code == 204
    wait_for(lambda: progress(stack, upload_id)["counts"].get("stored") == 1, 60)
    s3, key = stack.client("s3"), f"uploads/{upload_id}/0003"

    def begun() -> list[str]:
        found = s3.list_multipart_uploads(Bucket=stack.staging_bucket).get("Uploads", [])
        return [each["Key"] for each in found if each["Key"] == key]

    assert progress(stack, upload_id)["state"] == "open"
    assert begun() == [key]

    # WHEN its hour is over
    functions = stack.client("lambda")
    with variables(stack, "ExpireUploadsFunction", UPLOAD_GRACE_SECONDS="-3700") as name:
        answer = functions.invoke(FunctionName=name, Payload=b"{}")
        assert "FunctionError" not in answer
        assert json.loads(answer["Payload"].read())["uploads"] >= 1

    # THEN it has ended, its parts are gone, and the exam is announced with what came
    told = progress(stack, upload_id)
    assert told["state"] == "expired"
    assert [file.get("reason") for file in told["files"]] == [None, "EXPIRED", "EXPIRED"]
    assert begun() == []
    assert announced(stack, study)["NumberOfStudyRelatedInstances"] == 1


class _ManySeries(BaseHTTPRequestHandler):
    """A PACS that says of every study that it has very many series, each of a modality of its own."""

    def __init__(self, target: str, *rest: Any) -> None:
        self._target = target
        super().__init__(*rest)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path.endswith("/series"):
            query = dict(parse_qsl(parts.query))
            start = int(query.get("offset", "0"))
            numbers = range(start, min(_SERIES, start + int(query.get("limit", _SERIES))))
            status, body = 200, json.dumps([_row(number) for number in numbers]).encode()
        else:
            kept = {name: self.headers[name] for name in ("Accept", "Authorization") if name in self.headers}
            given = requests.get(self._target + self.path, headers=kept, timeout=60)
            status, body = given.status_code, given.content
        self.send_response(status)
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _row(number: int) -> dict[str, Any]:
    return {
        "0020000E": {"vr": "UI", "Value": [f"1.2.3.{10**6 + number}"]},
        "00080060": {"vr": "CS", "Value": [f"MODALITY_{number:07d}"]},
        "00201209": {"vr": "IS", "Value": [1]},
    }


@contextmanager
def many_series(target: str) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_ManySeries, target))
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def announced(stack: Stack, study: str) -> dict[str, Any]:
    """Wait for the announcement of an exam; return what it says."""

    def look() -> list[dict[str, Any]]:
        events = [event["data"] for event in feed(stack) if event["type"] == "Exam Uploaded"]
        return [data for data in events if data["StudyInstanceUID"] == study]

    [data] = wait_for(look, 120)
    return dict(data)


def test_a_summary_that_would_be_too_long_is_cut_and_says_so(stack: Stack) -> None:
    assert _SERIES * len(_row(0)["00080060"]["Value"][0]) > LARGEST_DETAIL
    study, files = exam(1, 1)
    with many_series(stack.pacs.url) as url, variables(stack, "AnnounceExamFunction", PACS_URL=url):
        upload(stack, files)
        cut = announced(stack, study)
    assert cut["truncated"] is True
    assert len(json.dumps(cut)) <= LARGEST_DETAIL
    # Control: of an exam of one series nothing is left out.
    study, files = exam(1, 1)
    upload(stack, files)
    assert "truncated" not in announced(stack, study)


_FAILS = '''
import importlib.util, sys

class Fails:
    """Lets the ingest make nothing ready that has this SOPInstanceUID: an error that its code does not know."""

    def find_spec(self, name, path=None, target=None):
        if name != "dicom_service.ingest.batch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            made = module.open_instance

            def open_instance(*arguments, **limits):
                instance = made(*arguments, **limits)
                if instance.header.sop_instance_uid == "{uid}":
                    raise ZeroDivisionError
                return instance

            module.open_instance = open_instance

        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Fails())
'''


@pytest.mark.skipif("SOAK" not in os.environ, reason="five tries with pauses between them")
def test_an_error_that_nobody_foresaw_ends_its_file_alone(stack: Stack, tmp_path: Path) -> None:
    # GIVEN functions whose interpreter takes up, as it starts, a file that breaks the ingest for one instance
    study = f"2.25.{uuid.uuid4().int}"
    contents = {str(number): dicom(number, study=study) for number in (1, 2, 3)}
    bad = f"{study}.1.2"
    (tmp_path / "sitecustomize.py").write_text(_FAILS.replace("{uid}", bad))
    with variables(stack, "IngestExamFunction", PYTHONPATH=str(tmp_path)):
        # WHEN it comes among others
        upload_id = send(stack, contents)
        wait_for(lambda: progress(stack, upload_id)["counts"].get("stored") == 2, 60)
        wait_for(lambda: progress(stack, upload_id)["state"] != "open", 300)
    # THEN it was tried so often, it ends as what it is, and the exam of the others is announced
    told = progress(stack, upload_id)
    assert [file.get("reason") for file in told["files"]] == [None, "INTERNAL_ERROR", None]
    key = {"uploadId": {"S": upload_id}, "file": {"S": "0002"}}
    row = stack.client("dynamodb").get_item(TableName=stack.outputs["UploadsTable"], Key=key)["Item"]
    assert int(row["errors"]["N"]) == MOST_ERRORS
    assert announced(stack, study)["NumberOfStudyRelatedInstances"] == 2
    # Control: without the error the same file is stored.
    assert stage(stack, {"again": contents["2"]})["counts"] == {"stored": 1}
