"""What staged files bring to the PACS leaves a record of who sent it, whatever is killed or refused on the way."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dicom_service import aws
from dicom_service.audit.recorder import UNKNOWN
from dicom_service.part10 import BytesSource
from dicom_service.storing.outbound_instance import arrived, open_instance
from dicom_service.uploads.staged_object import StagedObject
from dicom_service.uploads.table import UPLOAD, UploadsTable
from tests.support.audit import records
from tests.support.faults import Killed
from tests.support.upload_files import dicom, zipped
from tests.support.uploads import BUCKET, World

OPENED_BY = {"who": "clinic", "role": "service", "organisation": "Ospedale", "address": "192.0.2.1", "requestId": "r1"}


def arrivals() -> list[tuple[str, str, str, int]]:
    found = [row for row in records() if row["action"] == "arrival"]
    assert all(row["status"] == 200 and row["patient"] and row["study"] for row in found)
    return sorted((row["who"], row["route"], row["requestId"], int(row["count"])) for row in found)


def test_files_and_zips_of_an_upload_are_recorded_by_exam_with_who_opened_it(world: World) -> None:
    packed = zipped({f"IM{number}": dicom(number) for number in (3, 4, 5)})
    world.open([dicom(1), dicom(2), packed], opened_by=OPENED_BY)
    assert world.deliver(world.events("")) == []
    [row] = [row for row in records() if row["action"] == "arrival"]
    assert (row["who"], row["organisation"], row["address"], row["count"]) == ("clinic", "Ospedale", "192.0.2.1", 5)
    assert arrivals() == [("clinic", "S3 upload/", "r1", 5)]


def test_dropped_files_are_recorded_as_dropped(world: World) -> None:
    world.put("drop/ROSSI.dcm", dicom(1))
    assert world.deliver(world.events("")) == []
    assert arrivals() == [("drop", "S3 drop/", "", 1)]
    assert "ROSSI" not in str(records())


def test_who_opened_an_upload_is_read_once_and_not_kept_where_it_is_not_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrivals_of, asked = world.arrivals(), list[str]()
    real = UploadsTable.get

    def get(table: UploadsTable, upload_id: str, file_id: str = UPLOAD) -> dict[str, Any] | None:
        asked.append(upload_id)
        return real(table, upload_id, file_id)

    monkeypatch.setattr(UploadsTable, "get", get)
    header = open_instance(BytesSource(dicom(1))).header
    known = world.open([dicom(1)], opened_by=OPENED_BY)
    for upload_id, times in ((known, 1), ("0" * 32, 2)):
        for _ in range(2):
            arrivals_of.record([arrived(header)], StagedObject(BUCKET, f"uploads/{upload_id}/0001", "e", 1))
        assert asked.count(upload_id) == times
    assert {row[0] for row in arrivals()} == {"clinic", UNKNOWN}


def _dying(real: Callable[..., Any], *, after: bool, calls: list[str]) -> Callable[..., Any]:
    def write(**given: Any) -> Any:
        if given["TableName"] != "Audit" or calls:
            return real(**given)
        calls.append("audit")
        if after:
            real(**given)
        raise Killed

    return write


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("content", [dicom(1), zipped({"IM1": dicom(1)})], ids=["file", "zip"])
def test_killed_at_the_record_it_is_recorded_in_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch, content: bytes, after: bool
) -> None:
    upload_id = world.open([content], opened_by=OPENED_BY)
    bodies, calls = world.events(""), list[str]()
    monkeypatch.setattr(aws.dynamodb(), "update_item", _dying(aws.dynamodb().update_item, after=after, calls=calls))
    with pytest.raises(Killed):
        world.deliver(bodies)
    assert calls and "finishedAt" not in (world.table().get(upload_id, "0001") or {})
    left = bodies
    for _ in range(3):
        left = world.deliver(left or world.zips or bodies)
    # Twice where the first was written: the record says who at least so often.
    assert [row[:3] for row in arrivals()] == [("clinic", "S3 upload/", "r1")]
    assert (world.table().get(upload_id, "0001") or {})["state"] == "stored"


def test_what_cannot_be_recorded_does_not_count_as_stored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    upload_id = world.open([dicom(1)], opened_by=OPENED_BY)
    bodies, real = world.events(""), aws.dynamodb().update_item

    def refuse(**given: Any) -> Any:
        if given["TableName"] == "Audit":
            raise ClientError({"Error": {"Code": "InternalServerError", "Message": ""}}, "UpdateItem")
        return real(**given)

    with monkeypatch.context() as refusing:
        refusing.setattr(aws.dynamodb(), "update_item", refuse)
        assert world.deliver(bodies) == bodies
    assert "finishedAt" not in (world.table().get(upload_id, "0001") or {})
    assert world.deliver(bodies) == []
    assert arrivals() == [("clinic", "S3 upload/", "r1", 1)]
