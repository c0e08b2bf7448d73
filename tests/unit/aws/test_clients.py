"""What the clients do otherwise than the SDK does by itself."""

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ParamValidationError

from dicom_service import aws

TABLE, BUCKET = "Table", "bucket"


def test_requests_name_the_service_and_the_versions_of_the_sdk() -> None:
    sent: list[str] = []

    def note(request: Any, **_: Any) -> None:
        sent.append(bytes(request.headers["User-Agent"]).decode())

    for client in (aws.s3(), aws.dynamodb()):
        client.meta.events.register("before-send", note)
    aws.s3().list_objects_v2(Bucket=BUCKET)
    aws.dynamodb().describe_table(TableName=TABLE)
    assert len(sent) == 2
    for text in sent:
        assert text.startswith("dicom-service Boto3/1.")
        assert " Botocore/1." in text


def test_dates_of_headers_and_of_lists_are_the_same_moment() -> None:
    """A header has ``Sun, 29 Nov 2026 22:50:09 GMT``, a list ``2026-11-29T22:50:09.000Z``, tables seconds."""
    before = datetime.now(UTC)
    aws.s3().put_object(Bucket=BUCKET, Key="a", Body=b"a")
    read = aws.s3().get_object(Bucket=BUCKET, Key="a")["LastModified"]
    [listed] = aws.s3().list_objects_v2(Bucket=BUCKET)["Contents"]
    made = aws.dynamodb().describe_table(TableName=TABLE)["Table"]["CreationDateTime"]
    assert read == listed["LastModified"].replace(microsecond=0)
    assert abs((read - before).total_seconds()) < 60
    assert abs((made - before).total_seconds()) < 60


def test_a_request_to_dynamodb_that_is_of_another_form_is_found_in_tests() -> None:
    """The functions leave that to DynamoDB; the stores of tests would take it."""
    with pytest.raises(ParamValidationError):
        aws.dynamodb().get_item(TableName=TABLE, Key={"id": "not typed"})
