"""One notification an exam: complete, once, with the PACS's own counts, whichever way it was reported."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from dicom_service import aws
from dicom_service.aws.sqs_worker import DeadLetter, Done, Retry
from dicom_service.errors import PacsError
from dicom_service.exams.completeness_checks import Check
from dicom_service.exams.registry import Arrived, ExamRegistry, ExamSettings
from dicom_service.notifications.announce import Announcer, AnnounceSettings
from dicom_service.notifications.publish import Publisher, PublishSettings
from tests.support.notifications import EVENTS, EXAMS, Pacs, drain

STUDY = "1.2.3"


@dataclass
class House:
    """The announcer with its surroundings and a clock that tests move."""

    queue: str
    pacs: Pacs = field(default_factory=Pacs)
    now: float = 1_700_000_000.0
    reconciled: list[tuple[str, str, str]] = field(default_factory=list)
    watched: list[tuple[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        clock = lambda: self.now  # noqa: E731
        self.exams = ExamRegistry(ExamSettings(EXAMS, self.queue, 60), clock=clock)
        settings = AnnounceSettings(EXAMS, EVENTS, self.queue, "", 60)
        self.announcer = Announcer(
            settings,
            self.pacs,
            reconcile=lambda *ids: self.reconciled.append(ids),
            watch=lambda *seen: self.watched.append(seen),
            clock=clock,
        )

    def arrive(self, *numbers: int, session: str | None = None, source: Any = "upload") -> Check:
        """Store instances and return the check that the registry queued."""
        self.pacs.studies.setdefault(STUDY, {}).setdefault("1.2.3.1", 0)
        self.pacs.studies[STUDY]["1.2.3.1"] += len(numbers)
        entries = [
            Arrived(STUDY, "1.2.3.1", f"1.2.3.1.{n}", "1.2.840.10008.5.1.4.1.1.2", "CT", "P1", "A1") for n in numbers
        ]
        self.exams.record(entries, source=source, session=session)
        return Check(STUDY, "arrival", arrived_at=int(self.now * 1000))

    def events(self) -> list[dict[str, Any]]:
        entries = Publisher(PublishSettings(EVENTS, "bus")).leftovers(-(10**9))
        return sorted((dict(entry.detail) for entry in entries), key=lambda detail: detail["revision"])


@pytest.fixture
def house(exam_settings: ExamSettings) -> House:
    return House(exam_settings.checks_queue_url)


def test_a_loose_exam_is_announced_once_after_the_quiet_period(house: House) -> None:
    # GIVEN three files that come one after the other
    checks = []
    for number in range(3):
        checks.append(house.arrive(number))
        house.now += 10
    # WHEN their checks come up
    house.now += 50
    outcomes = [house.announcer.announce(check, 1) for check in checks]
    # THEN only the last announces, with the PACS's counts
    assert outcomes == [Done(), Done(), Done()]
    assert house.events() == [
        {
            "eventType": "CREATED",
            "revision": 1,
            "source": "upload",
            "StudyInstanceUID": STUDY,
            "PatientID": "P1",
            "AccessionNumber": "A1",
            "ModalitiesInStudy": ["CT"],
            "NumberOfStudyRelatedSeries": 1,
            "NumberOfStudyRelatedInstances": 3,
        }
    ]
    assert house.reconciled == [(STUDY, "A1", "P1")]


@pytest.mark.parametrize("reason", ["callback", "poll", "session", "arrival"])
def test_the_same_content_reported_another_way_makes_no_second_event(house: House, reason: Any) -> None:
    # GIVEN an announced exam
    check = house.arrive(1, 2)
    house.now += 60
    house.announcer.announce(check, 1)
    # WHEN it is reported again, twice, by whichever way
    again = Check(STUDY, reason, arrived_at=check.arrived_at if reason == "arrival" else None)
    assert [house.announcer.announce(again, 1) for _ in range(2)] == [Done(), Done()]
    # THEN there is one event
    assert len(house.events()) == 1


def test_later_instances_make_an_update(house: House) -> None:
    # GIVEN an announced exam
    check = house.arrive(1)
    house.now += 60
    house.announcer.announce(check, 1)
    # WHEN the drop folder and later the PACS itself bring more
    check = house.arrive(2, source="drop")
    house.now += 60
    house.announcer.announce(check, 1)
    house.pacs.studies[STUDY]["1.2.3.2"] = 5
    house.announcer.announce(Check(STUDY, "callback"), 1)
    # THEN each growth is announced, with its source and the new counts
    announced = [
        (e["eventType"], e["revision"], e["source"], e["NumberOfStudyRelatedInstances"]) for e in house.events()
    ]
    assert announced == [("CREATED", 1, "upload", 1), ("UPDATED", 2, "drop", 2), ("UPDATED", 3, "pacs", 7)]


def test_an_open_session_holds_the_announcement_back(house: House) -> None:
    # GIVEN an upload that is still running
    check = house.arrive(1, session="s")
    house.now += 120
    # WHEN the PACS reports the exam as stable, or a check comes up
    assert house.announcer.announce(Check(STUDY, "callback"), 1) == Done()
    assert house.announcer.announce(check, 1) == Retry(900)
    assert house.events() == []
    # THEN it is announced when the upload is complete, once, with all its instances
    house.arrive(2, 3, session="s")
    house.exams.complete_session("s", [STUDY])
    assert house.announcer.announce(Check(STUDY, "session"), 1) == Done()
    assert [event["NumberOfStudyRelatedInstances"] for event in house.events()] == [3]


def test_an_abandoned_session_is_announced_in_the_end(house: House) -> None:
    check = house.arrive(1, session="s")
    house.now += 3599
    assert house.announcer.announce(check, 4) == Retry(900)
    house.now += 2
    assert house.announcer.announce(check, 5) == Done()
    assert len(house.events()) == 1


def test_a_callback_while_files_still_arrive_waits_for_the_quiet_period(house: House) -> None:
    house.arrive(1)
    house.now += 20
    assert house.announcer.announce(Check(STUDY, "callback"), 1) == Retry(40)
    assert house.events() == []


def test_an_exam_sent_straight_to_the_pacs_is_announced_by_its_callback(house: House) -> None:
    house.pacs.studies["9.9"] = {"9.9.1": 4, "9.9.2": 1, "9.9.3": 2}
    assert house.announcer.announce(Check("9.9", "callback"), 1) == Done()
    assert house.announcer.announce(Check("9.9", "callback"), 1) == Done()
    (event,) = house.events()
    assert (event["source"], event["NumberOfStudyRelatedSeries"], event["NumberOfStudyRelatedInstances"]) == (
        "pacs",
        3,
        7,
    )


def test_counts_are_counted_where_the_pacs_does_not_tell_them(house: House) -> None:
    house.pacs.studies["9.9"] = {"9.9.1": 5, "9.9.2": 1}
    house.pacs.tells_counts = False
    house.announcer.announce(Check("9.9", "callback"), 1)
    assert [event["NumberOfStudyRelatedInstances"] for event in house.events()] == [6]


def test_a_study_that_the_pacs_does_not_know_is_looked_for_and_then_set_aside(house: House) -> None:
    outcomes = [house.announcer.announce(Check("9.9", "callback"), attempt) for attempt in range(1, 9)]
    assert all(isinstance(outcome, Retry) for outcome in outcomes[:7])
    assert outcomes[7] == DeadLetter("UNKNOWN_STUDY")
    assert house.events() == []


def test_a_pacs_that_is_down_puts_the_look_off(house: House) -> None:
    house.pacs.down = True
    with pytest.raises(PacsError):
        house.announcer.announce(Check(STUDY, "callback"), 1)


def test_an_index_behind_the_store_is_waited_for(house: House) -> None:
    # GIVEN two stored instances of which the PACS shows one
    check = house.arrive(1, 2)
    house.pacs.studies[STUDY]["1.2.3.1"] = 1
    house.now += 60
    # WHEN checked THEN it is checked again, and announced whole
    assert isinstance(house.announcer.announce(check, 1), Retry)
    house.pacs.studies[STUDY]["1.2.3.1"] = 2
    house.announcer.announce(check, 2)
    assert [event["NumberOfStudyRelatedInstances"] for event in house.events()] == [2]


def test_a_study_that_still_grows_is_left_to_the_next_poll(house: House) -> None:
    house.pacs.studies["9.9"] = {"9.9.1": 4}
    assert house.announcer.announce(Check("9.9", "poll", instances=3), 1) == Done()
    assert house.events() == []
    house.announcer.announce(Check("9.9", "poll", instances=4), 1)
    assert len(house.events()) == 1


def test_two_that_announce_at_once_make_one_event(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN one that reads the state before another announces
    house.pacs.studies["9.9"] = {"9.9.1": 4}
    stale = house.exams.study("9.9")
    house.announcer.announce(Check("9.9", "callback"), 1)
    with monkeypatch.context() as patch:
        patch.setattr(ExamRegistry, "study", lambda self, uid: stale)
        # WHEN it announces THEN the transaction fails and it checks again
        assert house.announcer.announce(Check("9.9", "callback"), 1) == Retry(1)
    assert house.announcer.announce(Check("9.9", "callback"), 2) == Done()
    assert len(house.events()) == 1


def test_killed_between_the_announcement_and_the_worklist(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a function that dies right after the transaction
    house.pacs.studies["9.9"] = {"9.9.1": 4}

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(house.announcer, "_reconcile", die)
        house.announcer.announce(Check("9.9", "callback"), 1)
    # WHEN the check comes again THEN the workitem is completed and the event stays one
    house.announcer.announce(Check("9.9", "callback"), 2)
    assert house.reconciled == [("9.9", "A1", "P1")]
    assert len(house.events()) == 1


def test_no_name_leaves_with_an_event_or_a_check(house: House) -> None:
    # GIVEN a callback full of a marker
    from dicom_service.notifications.callback import Callbacks, CallbackSettings

    marker = "CANARY^PATIENT"
    body = {"SourceID": "s", "StudyInstanceUID": "9.9", "PatientName": marker, "StudyDescription": marker, "x": marker}
    Callbacks(CallbackSettings(EXAMS, house.queue)).take(body)
    house.pacs.studies["9.9"] = {"9.9.1": 4}
    # WHEN its exam is announced
    messages = drain(house.queue)
    house.announcer.announce(Check.from_message(json.loads(messages[0]["Body"])), 1)
    # THEN the marker is in the registry alone
    assert marker not in json.dumps([message["Body"] for message in messages])
    assert marker not in json.dumps(house.events())
    kept = aws.dynamodb().get_item(
        TableName=EXAMS, Key=aws.to_item({"StudyInstanceUID": "9.9", "SOPInstanceUID": "#callback"})
    )
    assert json.loads(aws.from_item(kept["Item"])["fields"]) == body


@pytest.mark.parametrize("instances", [1, 200])
def test_items_written_for_an_exam(house: House, instances: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a count of every item written
    written: list[str] = []
    client = aws.dynamodb()
    transact, batch = client.transact_write_items, client.batch_write_item

    def count_transaction(**arguments: Any) -> Any:
        written.extend("transaction" for _ in arguments["TransactItems"])
        return transact(**arguments)

    def count_batch(**arguments: Any) -> Any:
        written.extend("batch" for requests in arguments["RequestItems"].values() for _ in requests)
        return batch(**arguments)

    monkeypatch.setattr(client, "transact_write_items", count_transaction)
    monkeypatch.setattr(client, "batch_write_item", count_batch)
    # WHEN an exam arrives in one call, is announced and published
    check = house.arrive(*range(instances))
    house.now += 60
    house.announcer.announce(check, 1)
    publisher = Publisher(PublishSettings(EVENTS, "bus"))
    publisher.publish(publisher.leftovers(-(10**9)))
    # THEN each instance is one item, its study one for 99 of them, and the event six: state, outbox; counter, feed,
    # mark; deletion
    assert len(written) == instances + -(-instances // 99) + 6
    print(
        f"exam of {instances} instances: {len(written)} items written, {written.count('transaction')} in transactions"
    )
