"""What a function finds in Lambda: its settings, a PACS that does as it is told, and the cloud in process (moto)."""

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import cloud as clouds
from tests.support.cloud import bucket, moto, queue
from tests.support.lambdas import Answer, Invoke, clear_dependencies, sample_event
from tests.support.otp import master_secret

__all__ = ["moto"]

SETTINGS = {
    "CACHE_BUCKET": "cache",
    "EXAMS_TABLE": "Exams",
    "PATIENT_KEYS_SECRET_ARN": "patients",
    "UIDS_TABLE": "Uids",
    # Long enough for a machine that is busy; `test_pacs_errors` shortens them where waiting is what it tests.
    "PACS_READ_TIMEOUT": "8",
    "PACS_TOTAL_TIMEOUT": "12",
}


@pytest.fixture(autouse=True)
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    with clouds.cloud(monkeypatch, {"ExamsTable": "Exams", "UidsTable": "Uids"}):
        bucket("cache")
        monkeypatch.setenv("EXAM_CHECKS_QUEUE_URL", queue("checks"))
        monkeypatch.setenv("FETCH_QUEUE_URL", queue("fetches"))
        monkeypatch.setenv("DEAD_FETCH_QUEUE_URL", queue("dead-fetches"))
        master_secret("patients")
        yield


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Call a function, freshly loaded and wired, with its sample event and the changes given."""

    def call(function: str, pacs_url: str = "http://127.0.0.1:1/dicom-web", **changes: Any) -> Answer:
        monkeypatch.setenv("PACS_URL", pacs_url)
        module = f"functions.{function}.app"
        sys.modules.pop(module, None)
        clear_dependencies()
        loaded = importlib.import_module(module)
        if function == "upload_exam":
            # The PACS of these tests only stores; who may bring what in is tried on the deployed stack.
            monkeypatch.setattr("dicom_service.storing.dependencies.admission", lambda: None)
        return Answer(loaded.lambda_handler({**sample_event(function), **changes}, None))

    return call
