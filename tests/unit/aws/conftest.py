"""A table, a bucket and queues in process (moto)."""

from collections.abc import Iterator

import pytest

from dicom_service import aws
from tests.support import cloud as clouds
from tests.support.cloud import moto

__all__ = ["moto"]

TABLE = "Table"
BUCKET = "bucket"


@pytest.fixture(autouse=True)
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with clouds.cloud(monkeypatch):
        aws.dynamodb().create_table(
            TableName=TABLE,
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            BillingMode="PAY_PER_REQUEST",
        )
        clouds.bucket(BUCKET)
        yield
