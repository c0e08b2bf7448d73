"""A function that is killed between any two calls, and messages that come again, in any order: nothing lost or twice.

``SOAK=1`` raises the numbers from those of a quick run to those of docs/reliability.md.
"""

import json
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dicom_service import aws
from dicom_service.exams.registry import ExamRegistry
from dicom_service.uploads.table import UploadsTable
from tests.support.aws_faults import AwsFaults
from tests.support.faults import Killed
from tests.support.upload_files import dicom, uid, zipped
from tests.support.uploads import BUCKET, World, cloud, filed

SOAK = bool(os.environ.get("SOAK"))


class Killer:
    """Counts calls that leave the process, and kills at the chosen one, before or after it took effect."""

    def __init__(self, at: int, *, after: bool) -> None:
        self._at = at
        self._after = after
        self._calls = 0
        self._one_call = threading.Lock()  # claims are made from several threads

    def around(self, call: Callable[[], Any]) -> Any:
        with self._one_call:
            self._calls += 1
            if self._calls > self._at or (self._calls == self._at and not self._after):
                raise Killed  # what is dead calls nobody any more, from no thread
            result = call()
            if self._calls >= self._at:
                raise Killed
            return result


class Meanwhile:
    """Delivers the same messages once more while they are under way: between two calls that leave the process."""

    def __init__(self, world: World, bodies: list[str], at: int) -> None:
        self._world = world
        self._bodies = bodies
        self._at = at
        self._calls = 0
        self._one_call = threading.Lock()  # as in AWS, where a write is one; moto's are not
        self.met = False
        self.again: list[str] = []

    def around(self, call: Callable[[], Any]) -> Any:
        self._calls += 1
        if self._calls == self._at:
            self.met = True
            self.again = self._world.deliver(self._bodies)
        with self._one_call:
            return call()


@contextmanager
def killing(world: World, killer: Killer | Meanwhile) -> Iterator[None]:
    """Let every AWS call and every request to the PACS pass through the killer."""
    clients: list[Any] = [aws.s3(), aws.dynamodb(), aws.sqs()]
    pacs: Any = world.pacs
    asked = {name: getattr(pacs, name) for name in ("search_for_studies", "search_for_instances", "store_instances")}
    originals = [client._make_api_call for client in clients]

    def wrapped(original: Any) -> Any:
        return lambda name, params: killer.around(lambda: original(name, params))

    for client, original in zip(clients, originals, strict=True):
        client._make_api_call = wrapped(original)
    for name, method in asked.items():
        setattr(pacs, name, lambda *what, _ask=method, **how: killer.around(lambda: _ask(*what, **how)))
    try:
        yield
    finally:
        for client, original in zip(clients, originals, strict=True):
            client._make_api_call = original
        for name, method in asked.items():
            setattr(pacs, name, method)


def stage(world: World) -> tuple[str, list[str]]:
    """An upload of two good files, a bad one, a copy and a ZIP, and two dropped files, one of them bad."""
    upload_id = world.open([dicom(1), dicom(2), b"no dicom", dicom(1), zipped({"a": dicom(3), "b": b"text"})])
    world.put("drop/good.dcm", dicom(4))
    world.put("drop/bad.dcm", b"no dicom")
    return upload_id, world.events("")


def problems(world: World, upload_id: str) -> list[str]:
    """What is not as it must be at the end; empty if nothing was lost, doubled, or told wrongly."""
    progress = world.progress(upload_id)
    wanted = [uid(1), uid(2), uid(3), uid(4)]
    told = Counter(json.dumps([e["detail"]["file"], e["detail"]["reason"]]) for e in world.told())
    study = world.registry().study(uid(1)[: -len(".1.1")]) or {}
    upload = world.table().get(upload_id) or {}
    quarantined = sorted(key.removeprefix("quarantine/") for key in world.keys("quarantine/"))
    facts = {
        "stored in the PACS": sorted(world.pacs.stored) == wanted,
        "claimed": not world.claims or world.claimed() == wanted,
        "registered": world.registered() == wanted,
        "counted": world.counted() == 4,
        "state": progress["state"] == "completed" == upload["state"],
        "files": progress["counts"] == {"stored": 4, "rejected": 1},
        "instances": progress["instances"] == 3,
        "done": upload["done"] == upload["files"],
        "session closed": not study.get("openSessions"),
        "rejected told once": sorted(told.values()) == [1, 1],
        "quarantine": quarantined == [filed("drop/bad.dcm"), f"uploads/{upload_id}/0003"],
        "report good": world.report("drop/good.dcm")["state"] == "stored",
        "report bad": world.report("drop/bad.dcm")["reason"] == "NO_DICM",
        "cleared away": world.keys("uploads/") == world.keys("drop/") == [],
    }
    return [name for name, true in facts.items() if not true]


def until_quiet(world: World, bodies: list[str]) -> None:
    for _ in range(10):
        if not bodies:
            return
        bodies = world.deliver(bodies)
    raise AssertionError(f"{len(bodies)} messages are never done")


def kill_points(monkeypatch: pytest.MonkeyPatch, *, after: bool, step: int) -> tuple[int, list[str]]:
    """Kill at every call in turn, deliver again, and check; give the number of points and what went wrong."""
    at, wrong = 1, []
    points = 0
    while True:
        with cloud(monkeypatch) as world:
            world.claims = True
            upload_id, bodies = stage(world)
            killer = Killer(at, after=after)
            killed = False
            with killing(world, killer):
                try:
                    # One connection, one message after the other: the calls then come in the same order each time.
                    for body in bodies:
                        world.deliver([body], connections=1)
                except Killed:
                    killed = True
            until_quiet(world, bodies)
            wrong += [f"call {at}: {problem}" for problem in problems(world, upload_id)]
        if not killed:
            return points, wrong
        points += 1
        at += step


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_between_any_two_calls(monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    points, wrong = kill_points(monkeypatch, after=after, step=1 if SOAK else 6)

    print(f"kill points {'after' if after else 'before'} a call: {points}, violations: {len(wrong)}")
    assert points > (80 if SOAK else 12)
    assert wrong == []


def test_the_check_sees_a_file_that_counts_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: without the condition, a second delivery counts again."""
    original = UploadsTable._finishing

    def careless(self: UploadsTable, *files: Any) -> list[Any]:
        entries: list[Any] = list(original(self, *files))
        for entry in entries:
            update = entry.get("Update", {})
            if update.get("ConditionExpression", "").startswith("attribute_not_exists(finishedAt)"):
                update["ConditionExpression"] = "attribute_exists(uploadId) OR attribute_not_exists(uploadId)"
        return entries

    monkeypatch.setattr(UploadsTable, "_finishing", careless)
    # The look at what is finished would hide it: a re-delivery that runs beside the first does not see it either.
    monkeypatch.setattr(UploadsTable, "find", lambda self, keys: {key: {"uploadId": key[0]} for key in keys})
    with cloud(monkeypatch) as world:
        upload_id, bodies = stage(world)
        world.deliver(bodies)
        assert problems(world, upload_id) == []
        for key, content in (("uploads/" + upload_id + "/0003", b"no dicom"),):
            world.put(key, content)
        until_quiet(world, world.events("uploads/"))
        assert set(problems(world, upload_id)) >= {"done", "rejected told once"}


def test_the_check_sees_an_instance_that_is_not_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: a registry that forgets is noticed."""
    monkeypatch.setattr(ExamRegistry, "record", lambda self, arrived, **_: len(arrived))
    with cloud(monkeypatch) as world:
        upload_id, bodies = stage(world)
        until_quiet(world, bodies)
        assert set(problems(world, upload_id)) >= {"registered", "counted"}


@pytest.mark.parametrize("seed", range(30 if SOAK else 4))
def test_delivered_up_to_ten_times_in_any_order_and_side_by_side(world: World, seed: int) -> None:
    # GIVEN each message 1 to 10 times, in any order, in batches of any size, with and without versions in the events
    chance = random.Random(seed)
    world.claims = True
    upload_id, _ = stage(world)
    bodies = [body for body in world.events("", versions=bool(seed % 2)) for _ in range(chance.randint(1, 10))]
    chance.shuffle(bodies)

    # WHEN each batch goes to two functions, of which one does all its work between two calls of the other
    met = 0
    while bodies:
        size = chance.randint(1, 12)
        batch, bodies = bodies[:size], bodies[size:]
        beside = Meanwhile(world, batch, chance.randint(1, 25))
        with killing(world, beside):
            bodies += world.deliver(batch)
        bodies += beside.again
        met += beside.met

    # THEN everything is there once
    assert met >= 1
    assert problems(world, upload_id) == []
    assert world.s3.list_objects_v2(Bucket=BUCKET, Prefix="uploads/")["KeyCount"] == 0


def test_an_aws_that_conflicts_throttles_fails_and_answers_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    met: Counter[str] = Counter()
    for seed in range(40 if SOAK else 6):
        with cloud(monkeypatch) as world:
            # GIVEN an upload and dropped files
            world.claims = True
            upload_id, bodies = stage(world)
            # WHEN a third of all requests meets a fault of AWS, until nothing is left
            with AwsFaults(monkeypatch, share=1 / 3, seed=seed) as faults:
                for _ in range(30):
                    # One after the other: moto's transactions are not safe beside other writes.
                    bodies = [left for body in bodies for left in world.deliver([body], connections=1)]
                    if not bodies:
                        break
            # THEN everything is there once
            assert bodies == []
            assert problems(world, upload_id) == []
            met += faults.met
    print(f"faults of AWS met: {dict(met)}")
    assert all(met[kind] >= 3 for kind in ("conflict", "throttled", "slow down", "server error"))
