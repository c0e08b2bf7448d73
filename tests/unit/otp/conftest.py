"""DynamoDB and Secrets Manager in process (moto); concurrency is proved on the deployed stack instead."""

from collections.abc import Iterator

import pytest

from dicom_service.otp.store import OtpTables
from tests.support import cloud as clouds
from tests.support.cloud import moto
from tests.support.otp import Harness, keyring, master_secret

TABLES = ("OtpsTable", "AccessTokensTable", "ExamEventsTable", "OtpSubjectsTable")

__all__ = ["moto"]


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    with clouds.cloud(monkeypatch, dict(zip(TABLES, TABLES, strict=True))):
        yield Harness(OtpTables(*TABLES), keyring(master_secret("master")), keyring(master_secret("patients")))
