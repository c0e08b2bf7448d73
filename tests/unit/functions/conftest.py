"""What a function finds in Lambda: its settings, a PACS that does as it is told, and the cloud in process (moto)."""

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from dicom_service import aws
from tests.support.lambdas import Answer, Invoke, sample_event
from tests.support.otp import master_secret
from tests.support.template import create_table

SETTINGS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "eu-south-1",
    "CACHE_BUCKET": "cache",
    "EXAMS_TABLE": "Exams",
    "PATIENT_KEYS_SECRET_ARN": "patients",
    "UIDS_TABLE": "Uids",
    # Long enough for a machine that is busy; `test_pacs_trouble` shortens them where waiting is what it tests.
    "PACS_READ_TIMEOUT": "8",
    "PACS_TOTAL_TIMEOUT": "12",
}


@pytest.fixture(autouse=True)
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    aws.forget_clients()
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="cache", CreateBucketConfiguration={"LocationConstraint": "eu-south-1"})
        monkeypatch.setenv("EXAM_CHECKS_QUEUE_URL", boto3.client("sqs").create_queue(QueueName="checks")["QueueUrl"])
        for variable, queue in (("FETCH_QUEUE_URL", "fetches"), ("DEAD_FETCH_QUEUE_URL", "dead-fetches")):
            monkeypatch.setenv(variable, boto3.client("sqs").create_queue(QueueName=queue)["QueueUrl"])
        create_table(boto3.client("dynamodb"), "ExamsTable", "Exams")
        master_secret("patients")
        create_table(boto3.client("dynamodb"), "UidsTable", "Uids")
        yield
    aws.forget_clients()


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Call a function, freshly loaded, with its sample event and the changes given."""

    def call(function: str, pacs_url: str = "http://127.0.0.1:1/dicom-web", **changes: Any) -> Answer:
        monkeypatch.setenv("PACS_URL", pacs_url)
        module = f"functions.{function}.app"
        sys.modules.pop(module, None)
        loaded = importlib.import_module(module)
        if function == "upload_exam":
            # The PACS of these tests only stores; who may bring what in is tried on the deployed stack.
            loaded.admission = lambda: None  # type: ignore[attr-defined]
        return Answer(loaded.lambda_handler({**sample_event(function), **changes}, None))

    return call
