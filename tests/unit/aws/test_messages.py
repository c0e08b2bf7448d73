"""Messages and events in batches that AWS takes only in part."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from dicom_service import aws
from tests.support.cloud import queue
from tests.support.notifications import drain


def test_more_messages_than_one_request_takes() -> None:
    url = queue("q")
    aws.send_all(url, [f"{number}" for number in range(23)])
    assert sorted(int(message["Body"]) for message in drain(url)) == list(range(23))


def test_a_delayed_message_is_not_there_yet() -> None:
    url = queue("q")
    aws.send_all(url, ["later"], delay=900)
    aws.send_all(url, ["now"])
    assert [message["Body"] for message in drain(url)] == ["now"]
    attributes = boto3.client("sqs").get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessagesDelayed"]
    )
    assert attributes["Attributes"]["ApproximateNumberOfMessagesDelayed"] == "1"


def test_a_message_that_the_queue_does_not_take_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws.sqs(), "send_message_batch", lambda **_: {"Failed": [{"Id": "1"}]})
    with pytest.raises(aws.AwsError), aws.errors(""):
        aws.send_all("q", ["a", "b"])


class Bus:
    """Takes each event but those that `refuses` names, and fails altogether in the calls of `down`."""

    def __init__(self, refuses: set[str], down: set[int]) -> None:
        self.refuses = refuses
        self.down = down
        self.calls = 0
        self.taken: list[str] = []

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        self.calls += 1
        if self.calls in self.down:
            raise ClientError({"Error": {"Code": "InternalException"}}, "PutEvents")
        names = [entry["Detail"] for entry in Entries]
        self.taken += [name for name in names if name not in self.refuses]
        return {"Entries": [{"ErrorCode": "X"} if name in self.refuses else {"EventId": name} for name in names]}


def put_events(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> set[int]:
    monkeypatch.setattr(aws.events(), "put_events", bus.put_events)
    return aws.put_events([{"Detail": f"{number}"} for number in range(12)])


def test_events_that_the_bus_never_takes_are_named(monkeypatch: pytest.MonkeyPatch, pauses: list[int]) -> None:
    bus = Bus({"3", "11"}, set())
    assert put_events(bus, monkeypatch) == {3, 11}
    assert len(bus.taken) == len(set(bus.taken)) == 10
    assert len(pauses) == 3


def test_a_bus_that_fails_once_gets_all_of_them_once(monkeypatch: pytest.MonkeyPatch, pauses: list[int]) -> None:
    bus = Bus(set(), {1})
    assert put_events(bus, monkeypatch) == set()
    assert sorted(bus.taken, key=int) == [f"{number}" for number in range(12)]
    assert len(pauses) == 1
