"""Transactions, batches and pages, with a DynamoDB that is busy."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dicom_service import aws
from dicom_service.aws import retry

TABLE = "Table"
Refuse = Callable[..., list[int]]
KEYS = [{"pk": f"{number}", "sk": "1"} for number in range(5)]


def put(key: str) -> dict[str, Any]:
    return {"Put": {"TableName": TABLE, "Item": aws.to_item({"pk": key, "sk": "1"})}}


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Let an operation fail some times; the list returned has one entry for each call."""

    def refuse(operation: str, times: int, code: str, *reasons: str) -> list[int]:
        real, calls = getattr(aws.dynamodb(), operation), list[int]()

        def call(**arguments: Any) -> Any:
            calls.append(1)
            if len(calls) <= times:
                response: Any = {"Error": {"Code": code}, "CancellationReasons": [{"Code": code} for code in reasons]}
                raise ClientError(response, operation)
            return real(**arguments)

        monkeypatch.setattr(aws.dynamodb(), operation, call)
        return calls

    return refuse


class TestTransact:
    @pytest.mark.parametrize(
        ("code", "reasons"),
        [
            ("TransactionConflictException", ()),
            ("TransactionInProgressException", ()),
            ("TransactionCanceledException", ("None", "TransactionConflict")),
            ("TransactionCanceledException", ("ThrottlingError",)),
        ],
    )
    def test_a_contended_write_is_made_when_the_others_are_done(
        self, refuse: Refuse, pauses: list[int], code: str, reasons: tuple[str, ...]
    ) -> None:
        calls = refuse("transact_write_items", 3, code, *reasons)
        aws.transact([put("a")])
        assert aws.get(TABLE, {"pk": "a", "sk": "1"}) is not None
        assert (len(calls), pauses) == (4, [0, 1, 2])

    def test_contention_without_end_is_busy(self, refuse: Refuse, pauses: list[int]) -> None:
        calls = refuse("transact_write_items", 99, "TransactionConflictException")
        with pytest.raises(aws.Busy), aws.errors(""):
            aws.transact([put("a")])
        assert (len(calls), len(pauses)) == (12, 11)

    @pytest.mark.parametrize(
        ("code", "reasons"),
        [
            ("InternalServerError", ()),
            ("TransactionCanceledException", ("ConditionalCheckFailed", "TransactionConflict")),
            ("TransactionCanceledException", ("TransactionConflict", "ValidationError")),
        ],
    )
    def test_nothing_else_is_tried_again(
        self, refuse: Refuse, pauses: list[int], code: str, reasons: tuple[str, ...]
    ) -> None:
        calls = refuse("transact_write_items", 1, code, *reasons)
        with pytest.raises(aws.AwsError), aws.errors(""):
            aws.transact([put("a")])
        assert (len(calls), pauses) == (1, [])


class TestBatches:
    @pytest.fixture
    def one_at_a_time(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
        """DynamoDB processes the first of a batch, as long as there are `answers`; `calls` counts."""
        client: Any = aws.dynamodb()
        read, write, state = client.batch_get_item, client.batch_write_item, {"calls": 0, "answers": 10**6}

        def taken() -> int:
            state["calls"] += 1
            return 1 if state["calls"] <= state["answers"] else 0

        def batch_get_item(RequestItems: dict[str, Any]) -> dict[str, Any]:
            [(table, request)] = RequestItems.items()
            keys, n = request["Keys"], taken()
            found = read(RequestItems={table: {**request, "Keys": keys[:n]}})["Responses"][table] if n else []
            left = {table: {**request, "Keys": keys[n:]}} if keys[n:] else {}
            return {"Responses": {table: found}, "UnprocessedKeys": left}

        def batch_write_item(RequestItems: dict[str, Any]) -> dict[str, Any]:
            [(table, requests)] = RequestItems.items()
            n = taken()
            if n:
                write(RequestItems={table: requests[:n]})
            return {"UnprocessedItems": {table: requests[n:]} if requests[n:] else {}}

        monkeypatch.setattr(client, "batch_get_item", batch_get_item)
        monkeypatch.setattr(client, "batch_write_item", batch_write_item)
        return state

    def write(self) -> None:
        aws.batch_write(TABLE, [{"PutRequest": {"Item": aws.to_item(key)}} for key in KEYS])

    def test_all_is_written_and_read_where_each_answer_is_partial(
        self, one_at_a_time: dict[str, int], pauses: list[int]
    ) -> None:
        self.write()
        found = list(aws.batch_get(TABLE, [*KEYS, {"pk": "none", "sk": "1"}]))
        assert sorted(item["pk"] for item in found) == ["0", "1", "2", "3", "4"]
        assert one_at_a_time["calls"] == 11
        assert pauses == [0, 1, 2, 3, 0, 1, 2, 3, 4]

    def test_what_is_never_read_or_written_is_an_error_not_an_absence(
        self, one_at_a_time: dict[str, int], pauses: list[int]
    ) -> None:
        one_at_a_time["answers"] = 2
        with pytest.raises(aws.Busy), aws.errors(""):
            self.write()
        one_at_a_time.update(calls=0)
        with pytest.raises(aws.Busy), aws.errors(""):
            list(aws.batch_get(TABLE, KEYS))
        assert one_at_a_time["calls"] == 12

    def test_more_than_one_request_takes(self) -> None:
        keys = [{"pk": f"{number}", "sk": "1"} for number in range(130)]
        aws.batch_write(TABLE, [{"PutRequest": {"Item": aws.to_item(key)}} for key in keys])
        assert len(list(aws.batch_get(TABLE, keys, consistent=True))) == 130


def test_a_query_reads_all_pages() -> None:
    for number in range(7):
        aws.dynamodb().put_item(TableName=TABLE, Item=aws.to_item({"pk": "a", "sk": f"{number}"}))
    found = aws.query(
        TableName=TABLE,
        KeyConditionExpression="pk = :a",
        ExpressionAttributeValues=aws.to_item({":a": "a"}),
        Limit=3,
    )
    assert [aws.from_item(item)["sk"] for item in found] == list("0123456")


def test_pauses_are_random_grow_and_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    for attempt in range(12):
        retry.pause(attempt)
    assert slept[:3] == [0.02, 0.04, 0.08]
    assert slept[-1] == 1.0
    assert sum(slept) < 10
