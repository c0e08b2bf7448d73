"""What DynamoDB, S3 and SQS do on AWS and the emulators never: each fault is met, and the work done all the same."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from dicom_service import aws
from dicom_service.aws import retry
from dicom_service.ingest.ranges import CHUNK
from dicom_service.ingest.s3source import S3Source
from dicom_service.uploads.staged_object import StagedObject
from tests.support.aws_faults import AwsFaults

TABLE, BUCKET = "Table", "bucket"
KEYS = [{"pk": f"{number}", "sk": "1"} for number in range(60)]


def put(key: dict[str, str], condition: str | None = None) -> Any:
    entry: dict[str, Any] = {"TableName": TABLE, "Item": aws.to_item(key)}
    return {"Put": entry | ({"ConditionExpression": condition} if condition else {})}


def test_batches_that_are_done_in_part_are_done_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with AwsFaults(monkeypatch, share=0.6, kinds=("unprocessed",)) as faults:
        aws.batch_write(TABLE, [{"PutRequest": {"Item": aws.to_item(key)}} for key in KEYS])
        written = faults.met["unprocessed"]
        found = list(aws.batch_get(TABLE, KEYS, consistent=True))
    assert written >= 1
    assert faults.met["unprocessed"] > written
    # All, each once.
    assert sorted(item["pk"] for item in found) == sorted(key["pk"] for key in KEYS)


def test_a_caller_that_ignores_what_was_left_out_misses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: the SDK alone does not ask again."""
    aws.batch_write(TABLE, [{"PutRequest": {"Item": aws.to_item(key)}} for key in KEYS])
    with AwsFaults(monkeypatch, share=1, kinds=("unprocessed",)):
        answer = aws.dynamodb().batch_get_item(RequestItems={TABLE: {"Keys": [aws.to_item(key) for key in KEYS]}})
    assert len(answer["Responses"][TABLE]) == 30
    assert len(answer["UnprocessedKeys"][TABLE]["Keys"]) == 30


@pytest.mark.parametrize("kind", ["conflict", "throttled", "server error"])
def test_a_transaction_is_repeated_until_it_is_done_and_counts_once(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    # The SDK repeats what is throttled or fails three times, the service a conflict eleven times.
    with AwsFaults(monkeypatch, share=0.3, kinds=(kind,)) as faults:
        for key in KEYS[:20]:
            with aws.errors("It cannot be written."):
                aws.transact([put(key, "attribute_not_exists(pk)")])
    assert faults.met[kind] >= 3
    assert len(list(aws.batch_get(TABLE, KEYS[:20]))) == 20


def test_the_sdk_alone_does_not_repeat_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: without the retries of `aws.transact` the conflict is the caller's."""
    with AwsFaults(monkeypatch, share=1, kinds=("conflict",)), pytest.raises(ClientError) as caught:
        aws.dynamodb().transact_write_items(TransactItems=[put(KEYS[0])])
    assert caught.value.response["Error"]["Code"] == "TransactionCanceledException"
    assert caught.value.response["CancellationReasons"][0]["Code"] == "TransactionConflict"


def test_conflicts_without_an_end_are_busy_and_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        AwsFaults(monkeypatch, share=1, kinds=("conflict",)) as faults,
        pytest.raises(aws.Busy),
        aws.errors("It cannot be written."),
    ):
        aws.transact([put(KEYS[0])])
    assert faults.met["conflict"] == retry._ATTEMPTS
    assert aws.get(TABLE, KEYS[0]) is None


def test_an_object_is_read_whole_where_s3_is_slow_down_fails_and_ignores_ranges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = bytes(range(256)) * 4096 * 5  # 5 MiB
    aws.s3().put_object(Bucket=BUCKET, Key="drop/a", Body=content)
    etag = aws.s3().head_object(Bucket=BUCKET, Key="drop/a")["ETag"].strip('"')
    with AwsFaults(monkeypatch, share=0.3) as faults:
        for start in range(0, len(content), CHUNK // 4):
            # Another source each time: one that has met a store which ignores ranges reads it whole from then on.
            source = S3Source(aws.s3(), StagedObject(BUCKET, "drop/a", etag, len(content)))
            assert source.read(start, 1000) == content[start : start + 1000]
            assert b"".join(source.stream(start)) == content[start:]
    assert all(faults.met[kind] >= 1 for kind in ("slow down", "server error", "range ignored"))
