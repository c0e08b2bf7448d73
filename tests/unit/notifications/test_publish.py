"""From the outbox to the feed and the bus: nothing missing, nothing twice, in order, whatever is repeated."""

import datetime
from collections import Counter
from typing import Any

import pytest

from dicom_service import aws
from dicom_service.notifications.feed import Feed, FeedSettings
from dicom_service.notifications.publish import Pending, Publisher, PublishSettings, publish_stream, sweep
from dicom_service.outbox import Event, Outbox, OutboxSettings
from tests.support.aws_faults import AwsFaults
from tests.support.notifications import BUS, EVENTS

pytestmark = pytest.mark.usefixtures("cloud")


class Bus:
    """EventBridge that keeps its entries and rejects those of given ids."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.reject: list[set[str]] = []

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        rejected = self.reject.pop(0) if self.reject else set()
        outcomes = []
        for entry in Entries:
            if any(event_id in entry["Detail"] for event_id in rejected):
                outcomes.append({"ErrorCode": "ThrottlingException"})
            else:
                self.taken.append(entry)
                outcomes.append({"EventId": "x"})
        return {"Entries": outcomes, "FailedEntryCount": len(rejected)}


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Bus:
    bus = Bus()
    monkeypatch.setattr(aws.events(), "put_events", bus.put_events)
    return bus


def publisher() -> Publisher:
    return Publisher(PublishSettings(EVENTS, BUS, 400))


def write(*ids: str) -> list[Event]:
    events = [Event("Exam Uploaded", {"StudyInstanceUID": "1.2.3"}, event_id) for event_id in ids]
    for event in events:
        Outbox(OutboxSettings(EVENTS)).write([event])
    return events


def stream(events: list[Event], name: str = "INSERT") -> dict[str, Any]:
    """The stream's batch for these events, as AWS shapes it."""
    images = [Outbox(OutboxSettings(EVENTS)).entry(event)["Put"]["Item"] for event in events]
    return {
        "Records": [
            {"eventName": name, "dynamodb": {"SequenceNumber": f"n-{image['sequence']['S']}", "NewImage": image}}
            for image in images
        ]
    }


def feed() -> list[tuple[int, str]]:
    page = Feed(FeedSettings(EVENTS)).read(None, 1000)
    return [(entry.position, entry.event_id) for entry in page.notifications]


def waiting() -> list[Pending]:
    return publisher().leftovers(-60)


def test_events_get_places_go_on_the_bus_and_leave_the_outbox(bus: Bus) -> None:
    # GIVEN events in the outbox
    events = write("a", "b", "c")
    # WHEN the stream brings them
    answer = publish_stream(publisher(), stream(events))
    # THEN they are in the feed in order, on the bus once, and nothing waits
    assert answer == {"batchItemFailures": []}
    assert feed() == [(1, "a"), (2, "b"), (3, "c")]
    assert [entry["DetailType"] for entry in bus.taken] == ["Exam Uploaded"] * 3
    assert '"eventId":"a","sequence":1' in bus.taken[0]["Detail"]
    assert isinstance(bus.taken[0]["Time"], datetime.datetime)
    assert waiting() == []


def test_a_batch_delivered_twice_and_out_of_order_changes_nothing(bus: Bus) -> None:
    # GIVEN a published batch
    events = write("a", "b", "c")
    publish_stream(publisher(), stream(events))
    # WHEN it comes again, backwards, with a repetition inside, along with a new event
    new = write("d")
    answer = publish_stream(publisher(), stream([*reversed(events), *new, *new]))
    # THEN only the new one is published
    assert answer == {"batchItemFailures": []}
    assert feed() == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]
    assert len(bus.taken) == 4


def test_killed_between_placing_and_putting(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a function that dies after the transaction and before PutEvents
    events = write("a", "b")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Publisher, "_put_on_bus", die)
        publish_stream(publisher(), stream(events))
    assert bus.taken == []
    # WHEN the batch comes again
    publish_stream(publisher(), stream(events))
    # THEN each is on the bus once, at the position that it had
    assert feed() == [(1, "a"), (2, "b")]
    assert ['"sequence":1' in bus.taken[0]["Detail"], '"sequence":2' in bus.taken[1]["Detail"]] == [True, True]
    assert waiting() == []


def test_killed_between_putting_and_acknowledging(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a function that dies after PutEvents
    events = write("a")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Publisher, "_remove_from_outbox", die)
        publish_stream(publisher(), stream(events))
    # WHEN the batch comes again
    publish_stream(publisher(), stream(events))
    # THEN the repetition on the bus has the same id and position, and the feed has one entry
    assert feed() == [(1, "a")]
    assert len(bus.taken) == 2
    assert bus.taken[0]["Detail"] == bus.taken[1]["Detail"]


def test_events_that_the_bus_rejects_are_retried_and_then_reported(bus: Bus) -> None:
    # GIVEN a bus that rejects one event once and another always
    events = write("aa", "bb", "cc")
    bus.reject = [{"aa", "bb"}, {"bb"}, {"bb"}, {"bb"}]
    # WHEN the stream brings them
    answer = publish_stream(publisher(), stream(events))
    # THEN the one is reported by its number in the stream and waits, the others are out once
    assert answer == {"batchItemFailures": [{"itemIdentifier": "n-bb"}]}
    assert [entry.event_id for entry in waiting()] == ["bb"]
    assert len(bus.taken) == 2
    # AND the sweep publishes it at its position
    assert sweep(publisher(), older_than=-60) == {"found": 1, "failed": 0}
    assert feed() == [(1, "aa"), (2, "bb"), (3, "cc")]
    assert waiting() == []


def test_an_unavailable_table_makes_the_whole_batch_come_again(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a table that cannot be written
    from botocore.exceptions import ClientError

    events = write("a", "b")

    def fail(**_: object) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException"}}, "TransactWriteItems")

    monkeypatch.setattr(aws.dynamodb(), "transact_write_items", fail)
    # WHEN the stream brings events
    answer = publish_stream(publisher(), stream(events))
    # THEN all are reported and nothing is on the bus that is not in the feed
    assert answer == {"batchItemFailures": [{"itemIdentifier": "n-a"}, {"itemIdentifier": "n-b"}]}
    assert bus.taken == []


def test_other_changes_of_the_table_are_left_alone(bus: Bus) -> None:
    assert publish_stream(publisher(), stream(write("a"), name="MODIFY")) == {"batchItemFailures": []}
    assert bus.taken == []


def test_more_events_than_a_transaction_takes(bus: Bus) -> None:
    # GIVEN 120 events
    events = write(*(f"{number:03}" for number in range(120)))
    # WHEN they are published in one go
    publisher().publish([Pending(event.event_id, event.detail_type, event.detail, 0) for event in events])
    # THEN the positions are 1 to 120 without a gap
    assert [position for position, _ in feed()] == list(range(1, 121))
    assert len(bus.taken) == 120


def test_an_aws_that_conflicts_throttles_and_fails_loses_no_event_and_gives_none_two_positions(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN sixty events in the outbox
    events = write(*(f"e{number:02d}" for number in range(60)))
    # WHEN the stream brings them in batches to an AWS of which half of all requests fail, until nothing waits
    met = Counter[str]()
    for seed in range(40):
        with AwsFaults(monkeypatch, share=0.5, seed=seed) as faults:
            for start in range(0, len(events), 2):
                publish_stream(publisher(), stream(events[start : start + 2]))
        met += faults.met
        if not waiting():
            break
    # THEN each has one position, without a gap, and was on the bus
    assert waiting() == []
    assert all(met[kind] >= 3 for kind in ("conflict", "throttled", "server error"))
    assert [position for position, _ in feed()] == list(range(1, 61))
    assert sorted(event_id for _, event_id in feed()) == [event.event_id for event in events]
    on_the_bus = " ".join(entry["Detail"] for entry in bus.taken)
    assert [event.event_id for event in events if f'"{event.event_id}"' not in on_the_bus] == []
