"""AWS in process (moto): started once for a folder of tests, empty for each of them, with the tables of template.yaml.

moto proves nothing about races, presigned URLs or delivery; those are tried on the deployed stack.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from moto import mock_aws
from moto.core.base_backend import BackendDict

from dicom_service import aws
from tests.support.template import create_table

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "eu-south-1",
    "AUDIT_TABLE": "Audit",
    "PATIENT_KEYS_SECRET_ARN": "patients",
}
_PATIENT_KEYS = {"current": "k1", "k1": "unit-test-patient-key-of-64-characters-0123456789-abcdefghijklmn"}


@pytest.fixture(scope="package", autouse=True)
def moto() -> Iterator[None]:
    """Keep moto running for a folder whose conftest.py imports this: its start takes longer than most tests do."""
    with mock_aws():
        yield


@contextmanager
def cloud(monkeypatch: pytest.MonkeyPatch, tables: Mapping[str, str] | None = None) -> Iterator[None]:
    """Give a test an empty cloud with tables of the template, each under the name given for it.

    The table of the audit and the keys of patients are always there: no function serves a request without them.
    """
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    aws.forget_clients()
    with mock_aws():
        BackendDict.reset()  # where moto was running already
        for resource, name in {"AuditTable": ENVIRONMENT["AUDIT_TABLE"], **(tables or {})}.items():
            create_table(aws.dynamodb(), resource, name)
        keys = ENVIRONMENT["PATIENT_KEYS_SECRET_ARN"]
        aws.secretsmanager().create_secret(Name=keys, SecretString=json.dumps(_PATIENT_KEYS))
        yield
    aws.forget_clients()


def bucket(name: str) -> str:
    """Make a bucket; return its name."""
    aws.s3().create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-south-1"})
    return name


def queue(name: str) -> str:
    """Make a queue; return its URL."""
    return str(aws.sqs().create_queue(QueueName=name)["QueueUrl"])
