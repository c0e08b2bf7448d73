"""A message that breaks something fails for itself: the others of its batch are done, and it ends as a dead letter."""

import json
from typing import Any

import boto3
import jsonschema
import pytest
from botocore.exceptions import ClientError

from dicom_service.aws.sqs_worker import Done
from dicom_service.errors import Conflict
from dicom_service.exams.completeness_checks import Check
from dicom_service.exams.registry import Arrived, ExamRegistry, ExamSettings
from dicom_service.notifications.announce import Announcer, AnnounceSettings
from dicom_service.notifications.feed import Feed, FeedSettings, write_cursor
from dicom_service.notifications.publish import Publisher, PublishSettings, publish_stream, sweep
from dicom_service.outbox import LARGEST_DETAIL, Event, Outbox, OutboxSettings, fitted
from tests.support.cloud import queue
from tests.support.lambdas import ROOT
from tests.support.notifications import BUS, EVENTS, EXAMS, Pacs, Rows, drain


def write(*names: str) -> None:
    outbox = Outbox(OutboxSettings(EVENTS))
    outbox.write([Event("OTP Issued", {"n": name}, name) for name in names])


def items() -> list[dict[str, Any]]:
    found = boto3.client("dynamodb").scan(TableName=EVENTS)["Items"]
    return [dict(item) for item in found if item["shard"]["S"].startswith("PENDING#")]


def spoil(name: str) -> None:
    [item] = [item for item in items() if item["sequence"]["S"] == name]
    item["detail"] = {"S": "not JSON"}
    boto3.client("dynamodb").put_item(TableName=EVENTS, Item=item)


def stream() -> dict[str, Any]:
    found = sorted(items(), key=lambda item: str(item["sequence"]["S"]))
    return {
        "Records": [
            {"eventName": "INSERT", "dynamodb": {"SequenceNumber": item["sequence"]["S"], "NewImage": item}}
            for item in found
        ]
    }


def published() -> set[str]:
    page = Feed(FeedSettings(EVENTS)).read(None, 100)
    assert len({entry.event_id for entry in page.notifications}) == len(page.notifications)
    return {entry.event_id for entry in page.notifications}


@pytest.fixture
def publisher(cloud: None) -> Publisher:
    return Publisher(PublishSettings(EVENTS, BUS))


class TestStream:
    def test_an_entry_that_makes_no_sense_fails_alone(self, publisher: Publisher) -> None:
        write("a", "b", "c")
        spoil("b")
        assert publish_stream(publisher, stream()) == {"batchItemFailures": [{"itemIdentifier": "b"}]}
        assert published() == {"a", "c"}

    def test_the_sweep_goes_on_behind_it(self, publisher: Publisher) -> None:
        write("a", "b", "c")
        spoil("b")
        assert sweep(publisher, -10) == {"found": 2, "failed": 0}
        assert published() == {"a", "c"}

    @pytest.mark.parametrize("code", ["ValidationException", "TransactionCanceledException"])
    def test_an_entry_that_the_table_never_takes_fails_alone(
        self, publisher: Publisher, monkeypatch: pytest.MonkeyPatch, code: str
    ) -> None:
        commit = publisher._commit

        def fail(entries: list[Any], head: int) -> None:
            if any(entry.event_id == "b" for entry in entries):
                response: Any = {"Error": {"Code": code}, "CancellationReasons": [{"Code": "ValidationError"}]}
                raise ClientError(response, "TransactWriteItems")
            commit(entries, head)

        monkeypatch.setattr(publisher, "_commit", fail)
        write("a", "b", "c")
        assert publish_stream(publisher, stream()) == {"batchItemFailures": [{"itemIdentifier": "b"}]}
        assert published() == {"a", "c"}


SCHEMA = json.loads((ROOT / "schemas/events/v1/exam-uploaded.json").read_text())


class ManySeries(Pacs):
    """A study of many series, in pages as long as asked for; each of a modality of its own, or all CT."""

    def __init__(self, count: int, *, own_modalities: bool) -> None:
        super().__init__({"1.2.3": {f"1.2.3.{10**6 + number}": 1 for number in range(count)}})
        self._rows = [
            {
                "0020000E": {"vr": "UI", "Value": [uid]},
                "00080060": {"vr": "CS", "Value": [f"MODALITY_{uid[-7:]}" if own_modalities else "CT"]},
                "00201209": {"vr": "IS", "Value": [1]},
            }
            for uid in self.studies["1.2.3"]
        ]

    def search_for_series(
        self, study_uid: str, *, limit: int | None, offset: int, includefields: tuple[str, ...]
    ) -> Rows:
        end = offset + (limit or len(self._rows))
        return Rows(self._rows[offset:end], end < len(self._rows))


class TestSummaries:
    def announced(self, pacs: Pacs, url: str) -> dict[str, Any]:
        exams = ExamRegistry(ExamSettings(EXAMS, url, 0))
        exams.record([Arrived("1.2.3", "1.2.3.1", "1.9", "1.2", "CT", "P1", "A1")], source="upload", session=None)
        [check] = [json.loads(message["Body"]) for message in drain(url)]
        announcer = Announcer(
            AnnounceSettings(EXAMS, EVENTS, url, "", 0), pacs, reconcile=lambda *_: None, watch=lambda *_: None
        )
        assert announcer.announce(Check.from_message(check), 1) == Done()
        [item] = items()
        assert len(item["detail"]["S"].encode()) <= LARGEST_DETAIL
        detail: dict[str, Any] = json.loads(item["detail"]["S"])
        jsonschema.validate({"version": "1.1", **detail, "eventId": "0" * 32, "sequence": 1}, SCHEMA)
        return detail

    @pytest.mark.parametrize(("series", "truncated"), [(20, False), (900, True)])
    def test_an_exam_of_many_modalities_is_announced(self, cloud: None, series: int, truncated: bool) -> None:
        detail = self.announced(ManySeries(series, own_modalities=True), queue("checks"))
        assert (detail["NumberOfStudyRelatedSeries"], detail.get("truncated", False)) == (series, truncated)
        assert 0 < len(detail["ModalitiesInStudy"]) <= series

    def test_an_exam_of_10_000_series_is_announced(self, cloud: None) -> None:
        detail = self.announced(ManySeries(10_000, own_modalities=False), queue("checks"))
        assert (detail["NumberOfStudyRelatedSeries"], "truncated" in detail) == (10_000, False)

    def test_identifiers_are_left_out_whole_and_counts_stay(self) -> None:
        short = fitted({"PatientID": "P" * 30_000, "StudyInstanceUID": "1.2.3", "Instances": 7})
        assert short == {"PatientID": "", "StudyInstanceUID": "1.2.3", "Instances": 7, "truncated": True}
        assert fitted({"PatientID": "P"}) == {"PatientID": "P"}

    def test_long_modalities_do_not_fill_the_register(self, cloud: None) -> None:
        exams = ExamRegistry(ExamSettings(EXAMS, queue("checks"), 0))
        entries = [
            Arrived("1.2.3", "1.2.3.1", f"1.9.{n}", "1.2", f"{n:04d}" + "X" * 2000, "P1", "A1") for n in range(120)
        ]
        assert exams.record(entries, source="upload", session=None) == 120
        assert len(json.dumps(exams.study("1.2.3"))) < 1000


def test_a_cursor_beyond_the_feed_is_a_conflict(publisher: Publisher) -> None:
    write("a")
    assert sweep(publisher, -10)["found"] == 1
    feed = Feed(FeedSettings(EVENTS))
    page = feed.read(None, 10)
    assert [entry.event_id for entry in page.notifications] == ["a"]
    assert feed.read(page.next, 10).notifications == []
    with pytest.raises(Conflict) as conflict:
        feed.read(write_cursor(2), 10)
    assert conflict.value.code == "CURSOR_BEYOND_FEED"
