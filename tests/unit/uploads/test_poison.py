"""What one message or file does to the ingest, it does to itself: odd events, keys no table takes, killed workers."""

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from dicom_service.aws import lease, sqs_worker
from dicom_service.errors import Unavailable
from dicom_service.ingest import batch as ingesting
from dicom_service.ingest import zip_ingest
from dicom_service.ingest.jobs import MOST_DEATHS
from dicom_service.ingest.result_recorder import ResultRecorder
from dicom_service.storing.outbound_instance import OutboundInstance, open_instance
from dicom_service.uploads.file_result import Key
from dicom_service.uploads.staged_object import NotAnEvent, parse_event
from dicom_service.uploads.table import UploadsTable
from tests.support.faults import Killed
from tests.support.upload_files import dicom, uid, zipped
from tests.support.uploads import BUCKET, World, ZipMessage


def kills_at(monkeypatch: pytest.MonkeyPatch, sop_instance_uid: str) -> None:
    """Let the worker die when it makes one instance ready."""
    monkeypatch.setattr(ingesting, "open_instance", opener_that_dies(sop_instance_uid))


def opener_that_dies(sop_instance_uid: str) -> Callable[..., OutboundInstance]:
    def opened(*args: Any, **limits: Any) -> OutboundInstance:
        instance = open_instance(*args, **limits)
        if instance.header.sop_instance_uid == sop_instance_uid:
            raise Killed
        return instance

    return opened


def kills_at_entry(monkeypatch: pytest.MonkeyPatch, sop_instance_uid: str) -> None:
    """Let the worker die when it makes one instance of a ZIP ready."""
    monkeypatch.setattr(zip_ingest, "open_instance", opener_that_dies(sop_instance_uid))


def deliver(world: World, bodies: list[str]) -> tuple[list[str], bool]:
    """One delivery; what comes again, and whether the worker died: then all of it does."""
    try:
        return world.deliver(bodies), False
    except Killed:
        return bodies, True


def until_quiet(world: World, bodies: list[str]) -> int:
    deaths = rounds = 0
    while bodies:
        rounds += 1
        assert rounds < 50, "it is never done"
        bodies, died = deliver(world, bodies)
        deaths += died
    return deaths


def odd(**values: Any) -> str:
    named = {"key": "drop/x", "size": 10, "etag": "e", "version-id": "v"} | values
    return json.dumps({"source": "aws.s3", "detail": {"bucket": {"name": BUCKET}, "object": named}})


ODD_EVENTS = {
    "key is a number": odd(key=5),
    "no version and no tag": odd(etag='""', **{"version-id": ""}),
    "version is a list": odd(**{"version-id": ["v"]}),
    "version is long": odd(**{"version-id": "v" * 1025}),
    "lone surrogate": odd(key="drop/\ud800"),
    "endless size": odd(size=1e400),
    "deep": "[" * 100_000,
    "other prefix": odd(key="reports/x"),
}


@pytest.mark.parametrize("body", ODD_EVENTS.values(), ids=ODD_EVENTS.keys())
def test_an_odd_event_holds_up_nothing_that_comes_with_it(world: World, body: str) -> None:
    upload_id = world.open([dicom(1)])
    bodies = [body, *world.events("uploads/")]

    assert world.deliver(bodies) == [body]

    assert world.progress(upload_id)["counts"] == {"stored": 1}
    with pytest.raises(NotAnEvent):
        parse_event(body)


def test_a_key_that_the_table_does_not_take_fails_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a table that refuses a whole batch for one key in it
    upload_id = world.open([dicom(1), dicom(2)])
    world.put("drop/poison", dicom(3))
    [poison] = [parse_event(body).tracked for body in world.events("drop/")]
    find = UploadsTable.find

    def refusing(self: UploadsTable, keys: Iterable[Key]) -> dict[Key, dict[str, Any]]:
        wanted = list(keys)
        if poison in wanted:
            raise Unavailable("refused")
        return find(self, wanted)

    monkeypatch.setattr(UploadsTable, "find", refusing)

    assert world.deliver(world.events("")) == world.events("drop/")

    assert world.progress(upload_id)["counts"] == {"stored": 2}


def test_an_upload_that_cannot_be_noted_holds_up_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN two uploads in one batch, noted together, of which one fails as nobody foresaw
    bad = world.open([dicom(1), dicom(2)])
    good = world.open([dicom(3), dicom(4)])
    finish = UploadsTable.finish

    def failing(self: UploadsTable, results: Any, *more: Any) -> list[Key]:
        if any(result.key[0] == bad for result in results):
            raise ZeroDivisionError
        return finish(self, results, *more)

    with monkeypatch.context() as broken:
        broken.setattr(UploadsTable, "finish", failing)
        # Both are sent before anything is noted.
        broken.setattr(ResultRecorder, "add", _later(ResultRecorder.add))
        left = world.deliver(world.events(""), batch_parts=1)

    assert sorted(left) == sorted(world.events(f"uploads/{bad}"))
    assert world.progress(good)["counts"] == {"stored": 2}
    assert until_quiet(world, left) == 0
    assert world.progress(bad)["counts"] == {"stored": 2}


def _later(add: Callable[..., None]) -> Callable[..., None]:
    """Have files recorded only when four have come: so that they share the step."""
    waiting: list[Any] = []

    def hold(recorder: Any, results: list[Any]) -> None:
        waiting.extend(results)
        for job, _ in results:
            job.failed = True
        if len(waiting) == 4:
            add(recorder, waiting)

    return hold


def test_a_file_that_kills_its_worker_is_given_up_and_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a file that kills the worker, uploaded among good ones
    kills_at(monkeypatch, uid(2))
    upload_id = world.open([dicom(1), dicom(2), dicom(3)])

    deaths = until_quiet(world, world.events(""))

    # THEN it was tried once with the others and three times alone; the others are stored, the upload has ended
    assert deaths == 1 + MOST_DEATHS
    progress = world.progress(upload_id)
    assert [file.get("reason") for file in progress["files"]] == [None, "INTERNAL_ERROR", None]
    assert progress["state"] == "completed"
    assert world.keys("quarantine/") == [f"quarantine/uploads/{upload_id}/0002"]
    assert sorted(world.pacs.stored) == [uid(1), uid(3)]


def test_a_zip_that_kills_its_worker_is_given_up_though_its_first_attempts_were_in_another_queue(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a ZIP that kills who unpacks it; the hand-over was put off once, as the queue did not take it
    kills_at_entry(monkeypatch, uid(2))
    upload_id = world.open([zipped({"a": dicom(2)}), dicom(1)])
    with monkeypatch.context() as broken:
        broken.setattr(sqs_worker, "requeue", lambda message, url: False)
        left = world.deliver(world.events(""))
    assert left == world.events(f"uploads/{upload_id}/0001")
    assert world.hand_to(world.ingest(), left) == []

    deaths = until_quiet(world, [*world.handed_over()])

    # THEN its deaths are counted from the first
    assert deaths == 1 + MOST_DEATHS
    assert [file.get("reason") for file in world.progress(upload_id)["files"]] == ["INTERNAL_ERROR", None]


def test_attempts_at_a_zip_that_goes_on_as_a_new_message_are_counted_from_the_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a ZIP that the PACS did not take at first, and that then went on as a new message
    world.open([zipped({"a": dicom(1)})])
    messages: list[str] = [ZipMessage(body) for body in world.events("")]
    world.pacs.refuse[uid(1)] = 0xA700
    assert world.hand_to(world.zip_ingest(), messages) == messages
    with monkeypatch.context() as late:
        late.setattr(ingesting, "ZIP_MARGIN", 10_000)
        assert world.hand_to(world.zip_ingest(), messages) == []
    (message,) = world.handed_over()

    # WHEN its worker dies at the first attempt of that, as it was at the one that was put off
    kills_at_entry(monkeypatch, uid(1))
    assert until_quiet(world, [message]) == 1 + MOST_DEATHS


def test_the_neighbours_of_a_file_that_kills_do_not_wait_for_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills_at(monkeypatch, uid(2))
    upload_id = world.open([dicom(1), dicom(2), dicom(3)])
    bodies = world.events("")

    assert deliver(world, bodies)[1]
    assert deliver(world, bodies)[1]
    left, _ = deliver(world, bodies)

    # THEN after one further try, or two if it came first, the good ones are stored
    assert sorted(world.pacs.stored) == [uid(1), uid(3)]
    until_quiet(world, left)
    assert world.progress(upload_id)["counts"] == {"stored": 2, "rejected": 1}


def test_workers_killed_for_another_reason_end_no_file(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The PACS is down in between, so each of the deaths is followed by a try that ends in order."""
    upload_id = world.open([dicom(1)])
    bodies = world.events("")
    for _ in range(3 * MOST_DEATHS):
        with monkeypatch.context() as dying:
            kills_at(dying, uid(1))
            assert deliver(world, bodies)[1]
        world.pacs.refuse[uid(1)] = 0xA700
        assert deliver(world, bodies) == (bodies, False)
    world.pacs.refuse.clear()

    assert deliver(world, bodies) == ([], False)
    assert world.progress(upload_id)["counts"] == {"stored": 1}


def test_a_try_that_ended_in_order_makes_no_suspect(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []
    count = UploadsTable.count

    def noting(self: UploadsTable, key: Key, what: str) -> None:
        counted.append(what)
        count(self, key, what)

    monkeypatch.setattr(UploadsTable, "count", noting)
    world.pacs.refuse[uid(1)] = 0xA700
    world.open([dicom(1)])
    world.put("drop/x", dicom(1))
    bodies = world.events("")
    for _ in range(4):
        bodies = world.deliver(bodies)
    assert len(bodies) == 2
    assert "refusals" in counted
    assert "deaths" not in counted


def test_a_suspect_is_not_begun_when_time_is_short(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    upload_id = world.open([dicom(1)])
    bodies = world.events("")
    with monkeypatch.context() as dying:
        kills_at(dying, uid(1))
        assert deliver(world, bodies)[1]
    with monkeypatch.context() as late:
        late.setattr(ingesting, "ZIP_MARGIN", 10_000)
        assert deliver(world, bodies) == (bodies, False)
    assert world.table().get(upload_id, "0001").get("deaths") is None  # type: ignore[union-attr]
    assert deliver(world, bodies) == ([], False)


def test_what_a_killed_worker_held_comes_back_in_minutes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a queue, and what is asked of it for a message while its worker lives and when it dies
    asked: list[int] = []
    monkeypatch.setattr(lease, "delay", lambda retries, url: asked.extend(one.seconds for one in retries.values()))
    kills_at(monkeypatch, uid(1))
    world.open([dicom(1)])

    assert deliver(world, world.events(""))[1]

    # THEN it is back after two minutes, though the queue's own timeout must be longer than the function may live
    assert asked == [120]


def test_messages_are_held_for_as_long_as_they_are_worked_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(lease, "delay", lambda retries, url: asked.extend(one.seconds for one in retries.values()))
    monkeypatch.setattr(lease, "RENEWAL", 0.01)
    world.pacs.before = lambda parts: _wait_for(asked, 3)
    world.open([dicom(1)])

    assert world.deliver(world.events("")) == []

    assert set(asked) == {120}


def _wait_for(asked: list[int], count: int) -> None:
    for _ in range(1000):
        if len(asked) >= count:
            return
        time.sleep(0.01)
    raise AssertionError("the messages were not renewed")
