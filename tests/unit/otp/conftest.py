"""DynamoDB and Secrets Manager in process (moto); concurrency is proved on the deployed stack instead."""

from collections.abc import Iterator

import pytest
from moto import mock_aws

from dicom_service import aws
from dicom_service.otp.store import OtpTables
from tests.support.otp import World, keyring, master_secret
from tests.support.template import create_table


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    values = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-south-1"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    aws.forget_clients()
    with mock_aws():
        names = ("OtpsTable", "AccessTokensTable", "ExamEventsTable", "OtpSubjectsTable")
        tables = OtpTables(*(create_table(aws.dynamodb(), name) for name in names))
        yield World(tables, keyring(master_secret("master")), keyring(master_secret("patients")))
    aws.forget_clients()
