"""What AWS answers, as the rooms see it."""

import io
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from dicom_service import aws
from dicom_service.errors import Conflict, Unavailable

TABLE, BUCKET = "Table", "bucket"


def refused(code: str, *reasons: str, **response: Any) -> ClientError:
    given: Any = {"Error": {"Code": code, "Message": "CANARY"}, **response}
    if reasons:
        given["CancellationReasons"] = [{"Code": reason} for reason in reasons]
    return ClientError(given, "TransactWriteItems")


def raised_for(error: Exception) -> aws.AwsError:
    with pytest.raises(aws.AwsError) as caught, aws.errors("The table is down.", {"Retry-After": "1"}):
        raise error
    assert (caught.value.detail, caught.value.headers) == ("The table is down.", {"Retry-After": "1"})
    assert caught.value.__cause__ is error
    return caught.value


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refused("InternalServerError"), aws.AwsError),
        (refused("ThrottlingException"), aws.AwsError),
        (refused("NoSuchBucket"), aws.AwsError),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), aws.AwsError),
        (refused("ConditionalCheckFailedException"), aws.ConditionFailed),
        (refused("PreconditionFailed"), aws.ConditionFailed),
        (refused("TransactionCanceledException", "TransactionConflict", "ConditionalCheckFailed"), aws.ConditionFailed),
        (refused("TransactionCanceledException", "None", "TransactionConflict"), aws.Busy),
        (refused("TransactionCanceledException", "ThrottlingError", "ProvisionedThroughputExceeded"), aws.Busy),
        (refused("TransactionConflictException"), aws.Busy),
        (refused("TransactionInProgressException"), aws.Busy),
        (refused("TransactionCanceledException", "TransactionConflict", "AccessDenied"), aws.AwsError),
        (refused("TransactionCanceledException"), aws.AwsError),
        (refused("ValidationException"), aws.Rejected),
        (refused("TransactionCanceledException", "ConditionalCheckFailed", "ValidationError"), aws.Rejected),
        (refused("NoSuchUpload"), aws.Missing),
        (refused("NoSuchVersion"), aws.Missing),
    ],
)
def test_each_error_has_one_kind(error: Exception, kind: type[aws.AwsError]) -> None:
    found = raised_for(error)
    assert type(found) is kind
    assert isinstance(found, Unavailable) and found.status == 503
    assert "CANARY" not in str(found)


def test_an_error_names_what_aws_calls_it() -> None:
    assert raised_for(refused("ConditionalRequestConflict")).aws_code == "ConditionalRequestConflict"
    assert raised_for(EndpointConnectionError(endpoint_url="http://127.0.0.1:1")).aws_code == ""


def test_errors_of_our_own_pass_through() -> None:
    with pytest.raises(Conflict), aws.errors("The table is down."):
        raise Conflict("no")
    with pytest.raises(KeyError), aws.errors("The table is down."):
        raise KeyError


def test_it_is_a_decorator_too() -> None:
    @aws.errors("The table is down.")
    def read(code: str) -> str:
        if code:
            raise refused(code)
        return "read"

    for _ in range(2):
        with pytest.raises(aws.Missing, match="The table is down"):
            read("404")
        assert read("") == "read"


def test_a_failed_condition_says_where_and_what_is_there() -> None:
    # GIVEN two items of three that exist
    for key in ("b", "c"):
        aws.dynamodb().put_item(TableName=TABLE, Item=aws.to_item({"pk": key, "sk": "1", "n": 5}))
    puts = [
        {
            "Put": {
                "TableName": TABLE,
                "Item": aws.to_item({"pk": key, "sk": "1"}),
                "ConditionExpression": "attribute_not_exists(pk)",
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }
        for key in ("a", "b", "c")
    ]
    # WHEN all three are written on condition that they do not
    with pytest.raises(aws.ConditionFailed) as failed, aws.errors(""):
        aws.transact(puts)
    # THEN it says which, and nothing was written
    assert failed.value.positions == {1, 2}
    assert failed.value.item == {"pk": "b", "sk": "1", "n": 5}
    assert aws.get(TABLE, {"pk": "a", "sk": "1"}) is None


def test_a_single_write_fails_at_position_0() -> None:
    with pytest.raises(aws.ConditionFailed) as failed, aws.errors(""):
        aws.dynamodb().delete_item(
            TableName=TABLE,
            Key=aws.to_item({"pk": "a", "sk": "1"}),
            ConditionExpression="attribute_exists(pk)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert failed.value.positions == {0}
    assert failed.value.item is None


def test_a_missing_object_is_missing_both_ways_of_asking() -> None:
    with pytest.raises(aws.Missing), aws.errors(""):
        aws.s3().head_object(Bucket=BUCKET, Key="none")
    with pytest.raises(aws.Missing), aws.errors(""):
        aws.s3().get_object(Bucket=BUCKET, Key="none")


def test_an_object_that_is_there_fails_the_condition_that_it_is_not() -> None:
    aws.s3().put_object(Bucket=BUCKET, Key="a", Body=b"1")
    with pytest.raises(aws.ConditionFailed), aws.errors(""):
        aws.s3().put_object(Bucket=BUCKET, Key="a", Body=b"2", IfNoneMatch="*")


def test_what_may_be_left_undone_is_logged_with_its_place(log: io.StringIO) -> None:
    with aws.tolerated("the lease stays"):
        raise refused("InternalServerError")
    line = json.loads(log.getvalue())
    assert (line["level"], line["message"], line["awsCode"]) == ("WARNING", "the lease stays", "InternalServerError")
    assert "test_what_may_be_left_undone_is_logged_with_its_place" in line["location"]
    assert "CANARY" not in log.getvalue()


def test_nothing_else_is_tolerated() -> None:
    with pytest.raises(KeyError), aws.tolerated("the lease stays"):
        raise KeyError
