"""The services for viewers as Lambda runs them: an archive on loopback, the cloud in process (moto)."""

from collections.abc import Iterator

import pytest

from dicom_service.dependencies import pacs
from tests.support import cloud as clouds
from tests.support.cloud import bucket, moto, queue
from tests.support.lambdas import clear_dependencies
from tests.support.otp import master_secret
from tests.support.viewer_calls import Viewer
from tests.support.viewers import Archive

__all__ = ["moto"]

TABLES = {
    "OtpsTable": "OTPS_TABLE",
    "AccessTokensTable": "ACCESS_TOKENS_TABLE",
    "ExamEventsTable": "EXAM_EVENTS_TABLE",
    "OtpSubjectsTable": "OTP_SUBJECTS_TABLE",
}


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
def viewer(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> Iterator[Viewer]:
    tables = {resource: resource for resource in TABLES}
    with clouds.cloud(monkeypatch, tables), archive.server() as server:
        for resource, variable in TABLES.items():
            monkeypatch.setenv(variable, resource)
        bucket("cache")
        master_secret("patients")
        settings = {
            "CACHE_BUCKET": "cache",
            "PATIENT_KEYS_SECRET_ARN": "patients",
            "FETCH_QUEUE_URL": queue("fetches"),
            "PACS_URL": server.url,
            "PACS_READ_TIMEOUT": "8",
            "PACS_TOTAL_TIMEOUT": "12",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        clear_dependencies()
        yield Viewer(archive)
        pacs().close()
        clear_dependencies()
