"""Each access is on the bus once, a change when it has its outcome; what the bus refuses is delivered again."""

import importlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dicom_service import aws
from tests.support.lambdas import sample_event

SCHEMA = json.loads((Path(__file__).parents[3] / "schemas/events/v1/access-recorded.json").read_text())


def change(number: int, new: dict[str, Any], old: dict[str, Any] | None = None) -> dict[str, Any]:
    images = {"NewImage": new} | ({"OldImage": old} if old else {})
    return {"eventName": "MODIFY" if old else "INSERT", "dynamodb": {**images, "SequenceNumber": str(number)}}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []

    def put(Entries: list[dict[str, Any]]) -> dict[str, Any]:
        entries.extend(Entries)
        return {"Entries": [{"EventId": "e"} for _ in Entries]}

    monkeypatch.setenv("EVENT_BUS", "bus")
    monkeypatch.setattr(aws.events(), "put_events", put)
    return entries


def call(event: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = importlib.import_module("functions.announce_access.app").lambda_handler(event, None)
    return answer


def test_a_new_access_is_announced_and_fits_its_schema(sent: list[dict[str, Any]]) -> None:
    assert call(sample_event("announce_access")) == {"batchItemFailures": []}
    [entry] = sent
    assert (entry["EventBusName"], entry["Source"], entry["DetailType"]) == ("bus", "dicom-service", "Access Recorded")
    jsonschema.validate(json.loads(entry["Detail"]), SCHEMA)


def test_counting_up_is_not_announced_and_a_change_with_its_outcome_is(sent: list[dict[str, Any]]) -> None:
    [record] = sample_event("announce_access")["Records"]
    done = record["dynamodb"]["NewImage"]
    begun = {name: value for name, value in done.items() if name not in ("status", "outcome")}
    call({"Records": [change(1, done, done), change(2, begun), change(3, done, begun)]})
    assert len(sent) == 1


def test_what_the_bus_refuses_is_delivered_again(monkeypatch: pytest.MonkeyPatch, pauses: list[int]) -> None:
    monkeypatch.setenv("EVENT_BUS", "bus")
    refused = {"Entries": [{"ErrorCode": "InternalFailure"}]}
    monkeypatch.setattr(aws.events(), "put_events", lambda **_: refused)
    event = sample_event("announce_access")
    number = event["Records"][0]["dynamodb"]["SequenceNumber"]
    assert call(event) == {"batchItemFailures": [{"itemIdentifier": number}]}
