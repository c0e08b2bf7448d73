"""Staged objects whose event never came: the events are swallowed here by not delivering them."""

import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from dicom_service.uploads.lost_events import Sweep
from dicom_service.uploads.staged_object import event_of, parse_event
from tests.support.upload_files import dicom, uid
from tests.support.uploads import BUCKET, World

LATE = 900


def sweep(world: World) -> Sweep:
    return Sweep(world.s3, BUCKET, world.table(), world.queues.staged)


def queued(world: World) -> list[str]:
    """Take the messages of the ingest queue."""
    sqs, found = boto3.client("sqs"), []
    while messages := sqs.receive_message(QueueUrl=world.queues.staged, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            sqs.delete_message(QueueUrl=world.queues.staged, ReceiptHandle=message["ReceiptHandle"])
            found.append(message["Body"])
    return found


def later(world: World, seconds: int) -> None:
    """Let some time be gone since everything was staged, which was just now by the clock of the bucket."""
    world.now = time.time() + seconds


def upload(world: World) -> str:
    return f"uploads/{world.open([dicom(1)])}/0001"


def drop(world: World) -> str:
    world.put("drop/ward/a", dicom(1))
    return "drop/ward/a"


@pytest.mark.parametrize("stage", [upload, drop])
def test_an_object_whose_event_never_came_is_stored_all_the_same(world: World, stage: Callable[[World], str]) -> None:
    key = stage(world)
    later(world, LATE + 10)
    assert sweep(world).run() == 1
    (body,) = queued(world)
    assert parse_event(body).key == key
    assert world.deliver([body]) == []
    assert world.registered() == [uid(1)]
    assert world.keys("uploads/") + world.keys("drop/") == []
    # AND nothing is left to be found
    later(world, LATE + 10)
    assert sweep(world).run() == 0


@pytest.mark.parametrize(("age", "found"), [(LATE - 20, 0), (LATE + 10, 1), (LATE + 1000, 0), (LATE + 3610, 1)])
def test_an_object_is_queued_once_it_is_late_and_every_hour(world: World, age: int, found: int) -> None:
    drop(world)
    later(world, age)
    assert sweep(world).run() == found


@pytest.mark.parametrize("stage", [upload, drop])
def test_what_the_ingest_has_seen_is_left_to_its_queue(world: World, stage: Callable[[World], str]) -> None:
    stage(world)
    world.pacs.dead = True
    assert world.deliver(world.events("")) != []
    later(world, LATE + 10)
    assert sweep(world).run() == 0


def test_a_swept_object_is_stored_once_when_its_event_comes_after_all(world: World) -> None:
    key = upload(world)
    events = world.events(key)
    later(world, LATE + 10)
    sweep(world).run()
    assert world.deliver([*queued(world), *events]) == []
    assert len(world.pacs.stored) == 1
    assert world.counted() == 1


def test_each_version_of_a_dropped_key_is_found(world: World) -> None:
    for number in (1, 2):
        world.put("drop/same", dicom(number))
    later(world, LATE + 10)
    assert sweep(world).run() == 2
    assert world.deliver(queued(world)) == []
    assert world.registered() == [uid(1), uid(2)]


def test_an_object_of_no_upload_is_found_too_and_goes_away(world: World) -> None:
    world.put(f"uploads/{'0' * 32}/0001", dicom(1))
    later(world, LATE + 10)
    assert sweep(world).run() == 1
    assert world.deliver(queued(world)) == []
    assert world.keys("uploads/") == []
    assert world.registered() == []


def test_a_queue_that_refuses_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(world)
    later(world, LATE + 10)
    broken = Sweep(world.s3, BUCKET, world.table(), world.queues.staged + "-gone")
    with pytest.raises(Exception, match="does not answer"):
        broken.run()
    assert sweep(world).run() == 1


@pytest.mark.parametrize("version", [None, "v1"])
def test_the_message_reads_as_the_event_would(version: str | None) -> None:
    detail: dict[str, Any] = {"key": "drop/ä b", "etag": "e", "size": 3} | ({"version-id": version} if version else {})
    staged = parse_event(f'{{"detail": {{"bucket": {{"name": "b"}}, "object": {detail!r}}}}}'.replace("'", '"'))
    assert parse_event(event_of(staged)) == staged
