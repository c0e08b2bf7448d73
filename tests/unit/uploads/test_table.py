"""The end of files in the table: once each, whatever of it was written before."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dicom_service import aws
from dicom_service.uploads.file_result import FileResult
from dicom_service.uploads.table import UPLOAD, UploadsTable
from tests.support.cloud import cloud

FILES = [f"{number:04d}" for number in range(1, 6)]


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[UploadsTable]:
    with cloud(monkeypatch, {"UploadsTable": "Uploads"}):
        made = UploadsTable("Uploads")
        made.create("one", {"state": "open", "open": "open", "expiresAt": 1, "done": 0}, {name: {} for name in FILES})
        yield made


def ends(*files: str) -> list[FileResult]:
    return [FileResult(("one", name), "stored") for name in files]


def done(table: UploadsTable) -> int:
    return int((table.get("one") or {})["done"])


def test_files_that_are_finished_already_are_left_out_and_not_counted(table: UploadsTable) -> None:
    assert table.finish(ends(*FILES[1:3])) == [("one", "0002"), ("one", "0003")]
    assert table.finish(ends(*FILES)) == [("one", "0001"), ("one", "0004"), ("one", "0005")]
    assert table.finish(ends(*FILES)) == []
    assert done(table) == 5


def test_files_of_an_upload_that_is_gone_are_an_error_at_once(table: UploadsTable, pauses: list[int]) -> None:
    aws.dynamodb().delete_item(TableName="Uploads", Key=aws.to_item({"uploadId": "one", "file": UPLOAD}))
    with pytest.raises(aws.ConditionFailed):
        table.finish(ends(*FILES))
    assert "finishedAt" not in (table.get("one", "0001") or {})
    assert pauses == []


def test_a_file_whose_event_exists_is_an_error_and_not_finished(table: UploadsTable) -> None:
    event = {"uploadId": "event", "file": "1"}
    put = {
        "Put": {
            "TableName": "Uploads",
            "Item": aws.to_item(event),
            "ConditionExpression": "attribute_not_exists(uploadId)",
        }
    }
    assert table.finish(ends("0001"), lambda result: [put]) == [("one", "0001")]
    with pytest.raises(aws.ConditionFailed):
        table.finish(ends("0002"), lambda result: [put])
    # THEN the same end again is nobody's error: the event goes with the file
    assert table.finish(ends("0001"), lambda result: [put]) == []
    assert done(table) == 1


def test_notes_that_meet_another_writers_transaction_are_made(
    table: UploadsTable, pauses: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, conflicts = aws.dynamodb().update_item, [1, 1]

    def call(**arguments: Any) -> Any:
        if conflicts.pop() if conflicts else 0:
            raise ClientError({"Error": {"Code": "TransactionConflictException"}}, "UpdateItem")
        return real(**arguments)

    monkeypatch.setattr(aws.dynamodb(), "update_item", call)
    table.count(("one", "0001"), "errors")
    assert (table.get("one", "0001") or {})["errors"] == 1
    assert pauses == [0, 1]


def test_a_note_of_what_is_finished_changes_nothing(table: UploadsTable) -> None:
    table.finish(ends("0001"))
    before = table.get("one", "0001")
    table.received(("one", "0001"))
    assert table.get("one", "0001") == before


def test_a_table_that_refuses_is_unavailable(table: UploadsTable) -> None:
    aws.dynamodb().delete_table(TableName="Uploads")
    for refused in (
        lambda: table.create("two", {}, {"0001": {}}),
        lambda: table.get("one"),
        lambda: table.find([("one", "0001")]),
        lambda: list(table.items("one")),
        lambda: table.received(("one", "0001")),
        lambda: table.finish(ends("0001")),
        lambda: table.put_entries(("one", "0001"), 0, [], last=True),
        lambda: table.expired(2),
    ):
        with pytest.raises(aws.AwsError) as error:
            refused()
        assert error.value.status == 503
