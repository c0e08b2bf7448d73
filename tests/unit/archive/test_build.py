"""A build goes on where it stopped, is made once, and leaves nothing where nobody may have it any more."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from dicom_service import aws
from dicom_service.archive import build as building
from dicom_service.archive import instances, zip_stream
from dicom_service.archive.table import LEASE, SILENCE, Archive, ArchivesTable
from dicom_service.aws.sqs_worker import DeadLetter, Done, Retry
from dicomweb.errors import PacsUnreachable
from tests.support.archives import BUILD, CACHE, STUDY, World, slices
from tests.support.faults import Killed

MESSAGE = {"StudyInstanceUID": STUDY, "build": BUILD}


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 64 KiB, so that an exam of some slices has several of them; moto takes them."""
    monkeypatch.setattr(zip_stream, "PART", 64 * 1024)
    monkeypatch.setattr(building, "SAVED_EVERY", 0)
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)


def issue(otp_id: str, state: str) -> None:
    aws.dynamodb().put_item(TableName="Otps", Item=aws.to_item({"otpId": otp_id, "state": state}))


def dies_at(number: int) -> Callable[[str], None]:
    calls = iter(range(1, 1000))

    def before(uid: str) -> None:
        if next(calls) == number:
            raise Killed

    return before


def files_of(world: World) -> dict[str, bytes]:
    archive = world.zip()
    assert archive.testzip() is None
    return {name: archive.read(name) for name in archive.namelist() if name.startswith("DICOM/")}


def test_the_zip_carries_whom_it_was_asked_for_by_which_an_erasure_finds_it(world: World) -> None:
    world.pacs.add(*slices(1, patient="P-1"), *slices(1, series=2, patient="P-2"))
    world.begin(patients="k1.a. k1.b.")
    assert world.build() == Done()
    head = aws.s3().head_object(Bucket=CACHE, Key=world.archive().key)
    assert (head["Metadata"]["patient"], world.archive().patient) == ("k1.a. k1.b.", "")


@pytest.mark.usefixtures("small_parts")
def test_it_goes_on_in_the_next_invocation_where_time_was_over(world: World) -> None:
    # GIVEN invocations with time for three instances each
    world.pacs.add(*slices(10))
    world.begin()
    rounds, messages, tickets = 0, [json.dumps({**MESSAGE, "ticket": "first"})], set()

    # WHEN each hands on what is left
    while messages:
        rounds += 1
        [message] = map(json.loads, messages)
        tickets.add(message.pop("ticket"))
        assert message == MESSAGE
        stop = world.ticks + 3

        def before(uid: str, stop: float = stop) -> None:
            world.ticks = min(stop, world.ticks + 1)

        world.pacs.before = before
        assert world.build(seconds_left=building.MARGIN + 3) == Done()
        messages = world.queued()

    # THEN the ZIP is whole, its files are those of the PACS, and hardly any was fetched twice
    assert rounds >= 3
    assert len(tickets) == rounds
    assert sorted(files_of(world).values()) == sorted(one["file"] for one in world.pacs.files.values())
    assert "index.html" in world.zip().namelist()
    # AND whoever unpacks it may read each of them, those of earlier invocations too
    assert [entry.external_attr >> 16 for entry in world.zip().infolist()] == [0o644] * (10 + 3)
    assert world.zip().read("index.html").count(b"data:image/jpeg") == 10
    assert world.keys() == [world.archive().key]
    assert world.uploads() == []


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("number", range(1, 8))
def test_killed_at_any_instance_it_is_whole_in_the_end(world: World, number: int) -> None:
    world.pacs.add(*slices(7))
    world.begin()
    world.pacs.before = dies_at(number)
    with pytest.raises(Killed):
        world.build()

    # WHEN its message comes again, while its lease still holds and after that
    world.pacs.before = lambda uid: None
    assert world.build() == Retry(60)
    world.now += LEASE + 1
    assert world.build(attempt=2) == Done()

    assert sorted(files_of(world).values()) == sorted(one["file"] for one in world.pacs.files.values())
    assert (world.archive().state, world.archive().done) == ("ready", 7)
    assert world.uploads() == []


@pytest.mark.parametrize("call", ["complete_multipart_upload", "update_item", "delete_object"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_its_last_steps_it_is_ready_in_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch, call: str, after: bool
) -> None:
    world.pacs.add(*slices(2))
    world.begin()
    client = aws.dynamodb() if call == "update_item" else aws.s3()
    original, finished = getattr(client, call), False

    def dying(**arguments: object) -> object:
        nonlocal finished
        if call == "update_item" and "expiresAt" not in str(arguments):
            return original(**arguments)
        if after:
            original(**arguments)
        finished = True
        raise Killed

    with monkeypatch.context() as broken:
        broken.setattr(client, call, dying)
        with pytest.raises(Killed):
            world.build()
    assert finished

    world.now += LEASE + 1
    assert world.build(attempt=2) == Done()
    assert world.archive().state == "ready"
    assert len(files_of(world)) == 2
    assert world.uploads() == []


def test_a_second_delivery_beside_the_first_does_nothing(world: World) -> None:
    world.pacs.add(*slices(2))
    world.begin()
    second: list[object] = []
    once = threading.Semaphore(1)

    def deliver(uid: str) -> None:
        if once.acquire(blocking=False):
            second.append(world.build())

    world.pacs.before = deliver

    assert world.build() == Done()

    assert second == [Retry(60)]
    assert sorted(world.pacs.fetched) == sorted(world.pacs.files)
    assert world.build() == Done()
    assert sorted(world.pacs.fetched) == sorted(world.pacs.files)


def test_a_copy_of_its_message_is_dropped_beside_it_and_takes_it_up_between_its_tries(world: World) -> None:
    world.pacs.add(*slices(2))
    world.begin()
    copies: list[object] = []

    def deliver(uid: str) -> None:
        copies.append(world.build(ticket="copy"))
        raise PacsUnreachable("down")

    # WHEN a copy comes while the first is at work THEN only the first comes again
    world.pacs.before = deliver
    assert isinstance(world.build(ticket="first"), Retry)
    assert copies and {*copies} == {Done()}

    # AND one that comes before it does takes its place
    def redeliver(uid: str) -> None:
        copies.append(world.build(ticket="first", attempt=2))

    copies.clear()
    world.pacs.before = redeliver
    assert world.build(ticket="other copy") == Done()
    assert copies and {*copies} == {Done()}
    assert world.archive().state == "ready"
    assert world.build(ticket="late copy") == Done()


def test_one_that_was_replaced_stops_and_leaves_the_other_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "_REPORT_EVERY", 0)
    world.pacs.add(*slices(8))
    world.begin()

    def replaced(uid: str) -> None:
        seen = world.archive()
        if seen.build == BUILD:
            world.table().begin(STUDY, "cd" * 15, "service", seen)

    world.pacs.before = replaced
    assert world.build() == Done()
    assert (world.archive().build, world.archive().state) == ("cd" * 15, "queued")
    assert world.keys() == []
    assert world.uploads() == []


@pytest.mark.parametrize("state", ["REVOKED", "SUSPENDED", None])
def test_it_is_cancelled_when_all_who_asked_for_it_are_revoked(
    world: World, monkeypatch: pytest.MonkeyPatch, state: str | None
) -> None:
    # GIVEN a build that two codes asked for, of which one is revoked already, and the other is on the way
    monkeypatch.setattr(building, "_REPORT_EVERY", 0)
    world.pacs.add(*slices(8))
    issue("first", "REVOKED")
    issue("second", "ACTIVE")
    world.begin("first")
    assert world.table().join(world.archive(), "second")

    def revoke(uid: str) -> None:
        if len(world.pacs.fetched) == 3:
            if state:
                issue("second", state)
            else:
                aws.dynamodb().delete_item(TableName="Otps", Key=aws.to_item({"otpId": "second"}))

    world.pacs.before = revoke
    assert world.build() == Done()

    assert (world.archive().state, world.archive().reason) == ("cancelled", "REVOKED")
    assert len(world.pacs.fetched) < 8 + 1
    assert world.keys() == []
    assert world.uploads() == []


def test_it_looks_at_who_wants_it_while_an_instance_is_on_its_way(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a PACS that sends nothing until the build has noted its progress
    monkeypatch.setattr(building, "_REPORT_EVERY", 0)
    monkeypatch.setattr(instances, "_MEANWHILE", 0.01)
    world.pacs.add(*slices(1))
    issue("only", "ACTIVE")
    world.begin("only")
    noted, progress, in_time = threading.Event(), ArchivesTable.progress, []

    def note(*arguments: Any) -> Archive:
        found = progress(*arguments)
        noted.set()
        return found

    def wait(uid: str) -> None:
        issue("only", "REVOKED")
        in_time.append(noted.wait(20))

    monkeypatch.setattr(ArchivesTable, "progress", note)
    world.pacs.before = wait
    assert world.build() == Done()
    assert in_time == [True]
    assert world.archive().state == "cancelled"


@pytest.mark.parametrize("other", ["service", "living"])
def test_it_goes_on_while_one_who_asked_may_have_it(world: World, monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    monkeypatch.setattr(building, "_REPORT_EVERY", 0)
    world.pacs.add(*slices(3))
    issue("revoked", "REVOKED")
    issue("living", "ACTIVE")
    world.begin("revoked")
    assert world.table().join(world.archive(), other)

    assert world.build() == Done()

    assert world.archive().state == "ready"


def test_a_pacs_that_is_down_is_waited_for_and_given_up_in_the_end(world: World) -> None:
    world.pacs.add(*slices(2))
    world.begin()

    def down(uid: str) -> None:
        raise PacsUnreachable("down")

    world.pacs.before = down
    for attempt in range(1, 8):
        outcome = world.build(attempt=attempt)
        assert isinstance(outcome, Retry)
    assert world.build(attempt=8) == DeadLetter("PACS_UNREACHABLE")

    assert (world.archive().state, world.archive().reason) == ("failed", "PACS_UNREACHABLE")
    assert world.keys() == []
    assert world.uploads() == []
    assert not world.archive().is_alive(world.now)


@pytest.mark.parametrize(("hidden", "kills"), [(LEASE, 4), (LEASE + 1, 8)], ids=["before its lease ends", "after that"])
def test_one_that_killed_all_its_invocations_is_told_as_failed(world: World, hidden: int, kills: int) -> None:
    # GIVEN an exam that kills each invocation, whose message is hidden for a while after that
    world.pacs.add(*slices(2))
    world.begin()
    killed = 0
    for attempt in range(1, 9):
        world.pacs.before = dies_at(1)
        try:
            assert world.build(attempt=attempt) == Retry(60)
            world.now += 60
        except Killed:
            killed += 1
            world.now += hidden

    # WHEN it comes once more THEN it is not begun, but given up
    fetched = len(world.pacs.fetched)
    world.pacs.before = lambda uid: None
    assert world.build(attempt=9) == DeadLetter("INTERNAL_ERROR")
    assert killed == kills
    assert len(world.pacs.fetched) == fetched
    assert (world.archive().state, world.archive().reason) == ("failed", "INTERNAL_ERROR")
    assert world.keys() == []


def test_an_exam_that_is_gone_is_none(world: World) -> None:
    world.begin()
    assert world.build() == Done()
    assert world.archive().state == "failed"


def test_an_instance_that_is_gone_meanwhile_is_left_out(world: World) -> None:
    world.pacs.add(*slices(3))
    world.begin()

    def remove(uid: str) -> None:
        world.pacs.files.pop(f"{STUDY}.1.2", None)

    world.pacs.before = remove
    assert world.build() == Done()
    assert len(files_of(world)) == 2


def test_a_message_that_comes_before_its_row_waits_for_it_and_is_forgotten_in_the_end(world: World) -> None:
    world.pacs.add(*slices(1))
    assert isinstance(world.build(), Retry)
    assert world.build(attempt=4) == Done()
    world.begin()
    assert world.build(attempt=2) == Done()
    assert world.archive().state == "ready"


def test_a_large_instance_is_streamed_and_comes_out_whole(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "SPOOLED", 10_000)
    world.pacs.add(*slices(2))
    world.begin()
    assert world.build() == Done()
    assert sorted(files_of(world).values()) == sorted(one["file"] for one in world.pacs.files.values())


def test_what_is_said_of_its_patient_is_said_only_where_there_is_one(world: World) -> None:
    world.pacs.add(*slices(2))
    world.begin()
    assert world.build() == Done()
    assert world.archive().patient == "label of P-1"

    world.now += SILENCE
    world.pacs.add(*slices(1, series=2, patient="P-2"))
    assert world.table().begin(STUDY, "cd" * 15, "service", world.archive())
    assert world.builder().build({"StudyInstanceUID": STUDY, "build": "cd" * 15}, 1, 900) == Done()
    assert world.archive().patient == ""
