"""Against real conditional writes: many publishers and a reader at once, many writers of one exam at once."""

import os
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dicom_service import aws
from dicom_service.exams.registry import Arrived, ExamRegistry, ExamSettings
from dicom_service.notifications.feed import Feed, FeedSettings
from dicom_service.notifications.publish import Pending, Publisher, PublishSettings
from dicom_service.outbox import Event, Outbox, OutboxSettings
from tests.support.stack import Stack

SOAK = os.environ.get("SOAK") == "1"
EVENTS = 1000 if SOAK else 120
WRITERS = 16
INSTANCES = 1000 if SOAK else 150


@pytest.fixture
def cloud(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """The stack's cloud for our own code in this process."""
    for name, value in stack.local.settings.aws_environment().items():
        monkeypatch.setenv(name, value)
    aws.forget_clients()
    yield stack
    aws.forget_clients()


@pytest.fixture
def table(cloud: Stack) -> Iterator[Any]:
    made: list[str] = []

    def make(partition: str, sort: str) -> str:
        name = f"race-{uuid.uuid4().hex}"
        keys = [(partition, "HASH"), (sort, "RANGE")]
        cloud.client("dynamodb").create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key, _ in keys],
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys],
        )
        made.append(name)
        return name

    yield make
    for name in made:
        cloud.client("dynamodb").delete_table(TableName=name)


def test_a_reader_misses_nothing_while_many_publish(cloud: Stack, table: Any) -> None:
    # GIVEN a reader that follows the feed with its cursor
    events_table = table("shard", "sequence")
    settings = PublishSettings(events_table, cloud.event_bus)
    done = threading.Event()
    seen: list[str] = []

    def follow() -> None:
        feed, cursor = Feed(FeedSettings(events_table)), None
        while True:
            last = done.is_set()
            page = feed.read(cursor, 50)
            seen.extend(entry.event_id for entry in page.notifications)
            cursor = page.next
            if last and not page.notifications:
                return

    def publish(number: int) -> None:
        event = Event("Race", {"n": number})
        Outbox(OutboxSettings(events_table)).write([event])
        pending = Pending(event.event_id, event.detail_type, event.detail, 0)
        # Every third batch comes twice, as a stream may deliver it.
        for _ in range(2 if number % 3 == 0 else 1):
            assert Publisher(settings).publish([pending]) == set()

    # WHEN many publish at once
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(follow)
        try:
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(publish, range(EVENTS)))
        finally:
            done.set()
        following.result()
    # THEN it has seen each event once, in the order of the feed, whose positions have no gap
    everything = Feed(FeedSettings(events_table)).read(None, 10_000).notifications
    assert [entry.position for entry in everything] == list(range(1, EVENTS + 1))
    assert seen == [entry.event_id for entry in everything]
    assert Publisher(settings).leftovers(-60) == []
    print(f"{EVENTS} events by 8 publishers: {len(seen)} seen by the reader, 0 missed, 0 twice")


def test_writers_of_one_exam_count_each_instance_once(cloud: Stack, table: Any) -> None:
    # GIVEN one exam whose instances come by several writers, each instance by two of them
    settings = ExamSettings(table("StudyInstanceUID", "SOPInstanceUID"), cloud.outputs["ExamChecksQueue"], 900)
    study = f"2.25.{uuid.uuid4().int}"
    instances = [Arrived(study, f"{study}.1", f"{study}.1.{n}", "1.2", "CT", "P", "A") for n in range(INSTANCES)]
    shares = [instances[start::8] for start in range(8)] * 2
    # WHEN they write at once
    with ThreadPoolExecutor(WRITERS) as pool:
        counted = list(pool.map(lambda share: ExamRegistry(settings).record(share, source="drop", session="s"), shares))
    # THEN the sum is exact
    item = ExamRegistry(settings).study(study)
    assert item is not None
    assert (sum(counted), item["instances"]) == (INSTANCES, INSTANCES)
    print(f"{INSTANCES} instances, each by 2 of {WRITERS} writers: counted {item['instances']}")
