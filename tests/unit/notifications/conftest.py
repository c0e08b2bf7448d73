"""Tables and queues in process (moto) for what needs neither concurrency nor delivery."""

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from dicom_service import aws
from dicom_service.exams.registry import ExamSettings
from tests.support.notifications import BUS, EVENTS, EXAMS, queue
from tests.support.template import create_table


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-south-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    aws.forget_clients()
    with mock_aws():
        create_table(boto3.client("dynamodb"), "ExamsTable", EXAMS)
        create_table(boto3.client("dynamodb"), "ExamEventsTable", EVENTS)
        boto3.client("events").create_event_bus(Name=BUS)
        yield
    aws.forget_clients()


@pytest.fixture
def exam_settings(cloud: None) -> ExamSettings:
    return ExamSettings(table=EXAMS, checks_queue_url=queue("checks"), quiet_period=0)
