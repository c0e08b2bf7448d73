"""The deployed service keeps to its own document: what schemathesis makes of it, valid and invalid."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dicom_service.contract import contract
from tests.support.contract_hooks import STORED
from tests.support.exams import upload
from tests.support.stack import Stack

SOAK = os.environ.get("SOAK") == "1"
ROOT = Path(__file__).parents[2]
METHODS = {"DELETE", "GET", "PATCH", "POST", "PUT"}
PATHS = contract()["paths"]
# `ignored_auth` sends each accepted request twice more, and each refusal costs a start of the authorizer here:
# test_access.py tries every route with every wrong credential instead. SOAK=1 runs this check too.
FAST = ("--phases", "fuzzing", "--exclude-checks", "ignored_auth", "--workers", "2")
THOROUGH = ("--phases", "coverage,fuzzing,stateful", "--max-examples", "250", "--workers", "2")
CONFIG = """
hooks = "tests.support.contract_hooks"
[generation]
# Which characters beyond ASCII are printable is not in the document.
codec = "ascii"
allow-x00 = false
[phases.coverage]
# Those of API Gateway.
unexpected-methods = ["DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"]
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428]
[[operations]]
include-path = "/new-exam-callback"
headers = {{ Authorization = "Bearer {callback_key}" }}
[[operations]]
include-path = "/audit"
headers = {{ Authorization = "Bearer {auditor_key}" }}
[[operations]]
# What is no DICOM file is refused by its content, which no schema describes.
include-operation-id = "uploadExam"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 422]
[[operations]]
# Which words are DICOM attributes, and which windows and viewports are possible, is not in the document.
include-path-regex = "^/dicomweb/"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 404, 406, 409, 429, "5xx"]
[[operations]]
# A comma that is percent-encoded is taken for a character that the pattern forbids.
include-path-regex = "/frames/"
checks.negative_data_rejection.expected-statuses = [200, 303, 400, 401, 403, 404, 405, 406]
[[operations]]
include-operation-id = "createUpload"
checks.positive_data_acceptance.expected-statuses = ["2xx", 413]
[[operations]]
# That each part's number is there once, and how many days an audit may be asked for, no schema describes.
include-operation-id = ["completeUploadFile", "listAudit"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 404, 409]
"""


@pytest.mark.parametrize("path", PATHS)
def test_another_method_is_405_and_the_answer_names_those_that_are_taken(stack: Stack, path: str) -> None:
    taken = {method.upper() for method in PATHS[path]}
    others = METHODS - taken
    assert len(others) >= 2
    for method in sorted(others):
        given = stack.request(method, path.replace("{", "1.2.").replace("}", ""), key=None)
        assert given.status_code == 405, method
        assert given.json()["code"] == "METHOD_NOT_ALLOWED"
        assert set(given.headers["Allow"].split(", ")) == taken


def test_the_service_keeps_to_its_document(stack: Stack, tmp_path: Path) -> None:
    run = schemathesis(stack, tmp_path, *(THOROUGH if SOAK else (*FAST, "--max-examples", "3")))
    assert run.returncode == 0, run.stdout[-20_000:]
    done = cases(tmp_path / "run.ndjson")
    # Where it reads the document, it does not try it. What it follows from answer to answer has one label.
    known = {f"{method.upper()} {path}" for path, methods in PATHS.items() for method in methods} - {
        "GET /openapi.json"
    }
    if left := known - {label for label, _ in done}:
        # Of the few examples it makes for an operation, it may discard all.
        assert not SOAK, left
        (alone := tmp_path / "alone").mkdir()
        named = [word for label in sorted(left) for word in ("--include-name", label)]
        run = schemathesis(stack, alone, *FAST, "--max-examples", "25", *named)
        assert run.returncode == 0, run.stdout[-20_000:]
        done += cases(alone / "run.ndjson")
    answers, operations = Counter(status for _, status in done), {label for label, _ in done}
    print(f"contract: {len(done)} cases of {len(operations)} operations, {len(left)} alone, answers {dict(answers)}")
    assert operations - {"Stateful tests"} == known, run.stdout[-20_000:]
    assert sum(answers.values()) >= (10_000 if SOAK else 60)
    assert answers[200] >= 10
    assert answers[400] >= 10


def stored(stack: Stack) -> tuple[str, str, str]:
    """Store a real picture; return its UIDs."""
    path = Path(str(get_testdata_file("CT_small.dcm")))
    upload(stack, [path.read_bytes()])
    picture = dcmread(path)
    return picture.StudyInstanceUID, picture.SeriesInstanceUID, picture.SOPInstanceUID


def schemathesis(stack: Stack, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run schemathesis on the stack's document with a fixed seed."""
    # It waits ten seconds for the document, which a first start on a busy machine exceeds.
    assert stack.request("GET", "/openapi.json", key=None).status_code == 200
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG.format(callback_key=stack.callback_key, auditor_key=stack.auditor_key))
    command = [str(Path(sys.executable).with_name("st")), "--config-file", str(config), "run"]
    command += [f"{stack.api_url}/openapi.json", "--header", f"Authorization: Bearer {stack.service_key}"]
    command += [
        "--request-timeout",
        "60",
        "--seed",
        "1",
        "--generation-deterministic",
        "--continue-on-failure",
        "--no-color",
        "--no-shrink",
    ]
    command += ["--report", "ndjson", "--report-ndjson-path", str(folder / "run.ndjson"), *options]
    environment = {**os.environ, STORED: " ".join(stored(stack)), "PYTHONPATH": str(ROOT)}
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run(command, cwd=folder, env=environment, text=True, **streams)


def cases(report: Path) -> list[tuple[str, int]]:
    """Return operation and status of each request of a run."""
    found: list[tuple[str, int]] = []
    for line in report.read_text("utf-8").splitlines():
        recorder: dict[str, Any] = json.loads(line).get("ScenarioFinished", {}).get("recorder") or {}
        for interaction in recorder.get("interactions", {}).values():
            if answer := interaction.get("response"):
                found.append((recorder["label"], answer["status_code"]))
    return found
