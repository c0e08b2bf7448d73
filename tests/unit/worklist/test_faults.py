"""A PACS or a function that dies in the middle leaves nothing half done: each step of each change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dicom_service.errors import Conflict, NotFound, PacsTrouble, ServiceError, Unavailable
from dicom_service.worklist.pacs_worklist import LONGEST_CALL
from dicom_service.worklist.store import Row, WorkitemStore
from dicomweb.worklist.base import CANCELED, COMPLETED, IN_PROGRESS, SCHEDULED, Query
from tests.support.pacs import Answer, html, reset
from tests.support.worklist import Bench, body, studies
from tests.support.worklist_pacs import nothing

STUDY = "1.2.3.1"


class Killed(BaseException):
    """Lambda ends a function without a word."""


# The dialects of UPS-RS differ in their words, not in their steps.
@pytest.fixture(params=["ups-rs", "mwl-rs", "orthanc"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def server(bench: Bench) -> Any:
    assert bench.server is not None
    return bench.server


def settle_later(bench: Bench) -> None:
    """Let the time pass in which somebody could still be at work, then settle."""
    assert bench.pacs_worklist is not None
    bench.now[0] += LONGEST_CALL + 1
    server(bench).down = False
    settled = bench.pacs_worklist.settle()
    assert settled.left == 0
    assert not [row for row in bench.rows() if "ixPending" in row]


@contextmanager
def killed_at_write(bench: Bench, number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """End the function just before a write of its row, counted from 1."""
    writes = iter(range(1, 100))

    def before(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: WorkitemStore, row: Row, *arguments: Any) -> Any:
            if next(writes) == number:
                raise Killed
            return original(self, row, *arguments)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(WorkitemStore, "write", before(WorkitemStore.write))
        patch.setattr(WorkitemStore, "remove", before(WorkitemStore.remove))
        with pytest.raises(Killed):
            yield


def create(bench: Bench) -> None:
    bench.service.create(body())


def reschedule(bench: Bench) -> None:
    bench.service.update(STUDY, {"ScheduledProcedureStepStartDate": "20270102"})


def begin(bench: Bench) -> None:
    bench.service.change_state(STUDY, {"State": IN_PROGRESS})


def complete(bench: Bench) -> None:
    bench.service.change_state(STUDY, {"State": COMPLETED})


def cancel(bench: Bench) -> None:
    bench.service.change_state(STUDY, {"State": CANCELED})


def delete(bench: Bench) -> None:
    bench.service.delete(STUDY)


Act = Callable[[Bench], None]
CHANGES: dict[str, tuple[tuple[Act, ...], Act]] = {
    "reschedule": ((create,), reschedule),
    "begin": ((create,), begin),
    "complete": ((create, begin), complete),
    "cancel": ((create,), cancel),
    "cancel begun": ((create, begin), cancel),
    "delete": ((create,), delete),
}


def prepared(bench: Bench, change: str) -> Act:
    before, act = CHANGES[change]
    for each in before:
        each(bench)
    return act


def seen(bench: Bench) -> tuple[str, str] | None:
    """State and day of the workitem as callers see it, alone and in the list; None when it is not there."""
    listed = bench.service.search(Query(), limit=10).items
    try:
        item = bench.service.get(STUDY)
    except NotFound:
        assert listed == []
        return None
    assert [(each.state, dict(each.fields)) for each in listed] == [(item.state, dict(item.fields))]
    return item.state, item.fields["ScheduledProcedureStepStartDate"]


AFTER = {
    "reschedule": (SCHEDULED, "20270102"),
    "begin": (IN_PROGRESS, "20261122"),
    "complete": (COMPLETED, "20261122"),
    "cancel": (CANCELED, "20261122"),
    "cancel begun": (CANCELED, "20261122"),
    "delete": None,
}


class TestCreate:
    @pytest.mark.parametrize(
        "fault", [reset, nothing(500), nothing(503), html(), nothing(400), nothing(404), nothing(409)]
    )
    def test_a_pacs_that_does_not_take_it_leaves_nothing(self, bench: Bench, fault: Answer) -> None:
        # GIVEN a PACS that fails before it does anything, however it says so
        server(bench).faults += [("POST", "/", "before", fault)] * 2
        # WHEN a workitem is created THEN the caller is told, and nothing is left
        with pytest.raises((PacsTrouble, NotFound, Conflict)):
            create(bench)
        server(bench).faults.clear()
        assert seen(bench) is None
        assert bench.told() == []
        # AND it can be created afterwards
        create(bench)
        assert seen(bench) == (SCHEDULED, "20261122")

    def test_a_lost_answer_is_found_out(self, bench: Bench) -> None:
        server(bench).faults.append(
            ("POST", "/w" if "ups" in bench.kind or bench.kind == "orthanc" else "/m", "after", reset)
        )
        if bench.kind == "mwl-rs":
            server(bench).patients["PID'1"] = {}
        create(bench)
        assert seen(bench) == (SCHEDULED, "20261122")
        assert bench.told() == ["Created"]
        # AND the workitem is whole: it can be worked on
        begin(bench)
        complete(bench)
        assert seen(bench) == (COMPLETED, "20261122")

    def test_a_pacs_that_dies_right_after_is_cleaned_up(self, bench: Bench) -> None:
        # GIVEN a PACS that takes the workitem, loses the answer, and is then down
        if bench.kind == "mwl-rs":
            server(bench).patients["PID'1"] = {}
        server(bench).faults.append(("POST", "/", "last", reset))
        with pytest.raises(PacsTrouble):
            create(bench)
        # WHEN it is back THEN nobody sees the half workitem, and it is taken back
        server(bench).down = False
        assert seen(bench) is None
        with pytest.raises(Conflict):
            create(bench)
        settle_later(bench)
        assert seen(bench) is None
        assert bench.told() == []
        create(bench)
        assert seen(bench) == (SCHEDULED, "20261122")

    @pytest.mark.parametrize("write", [1, 2])
    def test_killed_between_any_two_writes(self, bench: Bench, write: int, monkeypatch: pytest.MonkeyPatch) -> None:
        with killed_at_write(bench, write, monkeypatch):
            create(bench)
        assert seen(bench) is None
        settle_later(bench)
        assert seen(bench) is None
        assert bench.told() == []
        create(bench)
        assert seen(bench) == (SCHEDULED, "20261122")


@pytest.mark.parametrize("change", CHANGES)
class TestChanges:
    def test_a_pacs_that_is_down_changes_nothing(self, bench: Bench, change: str) -> None:
        act = prepared(bench, change)
        before, told = seen(bench), bench.told()
        server(bench).down = True
        with pytest.raises(PacsTrouble):
            act(bench)
        server(bench).down = False
        assert seen(bench) == before
        assert bench.told() == told
        bench.now[0] += LONGEST_CALL + 1
        act(bench)
        assert seen(bench) == AFTER[change]

    @pytest.mark.parametrize("nth", [0, 1, 2])
    def test_a_pacs_that_dies_at_any_request(self, bench: Bench, change: str, nth: int) -> None:
        # GIVEN a PACS that carries out the nth request of a change, loses its answer, and is then down
        act = prepared(bench, change)
        before, told = seen(bench), bench.told()
        survive = _die_at(server(bench), nth)
        try:
            act(bench)
        except ServiceError:
            # WHEN it is settled THEN the change is there as a whole, or not at all, and told of or not
            survive()
            settle_later(bench)
        survive()
        after = seen(bench)
        assert after in (before, AFTER[change])
        assert len(bench.told()) == len(told) + (after != before)
        # AND doing it again ends where it should
        if after == before:
            act(bench)
        assert seen(bench) == AFTER[change]

    @pytest.mark.parametrize("write", [1, 2])
    def test_killed_between_any_two_writes(
        self, bench: Bench, change: str, write: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        act = prepared(bench, change)
        before, told = seen(bench), bench.told()
        with killed_at_write(bench, write, monkeypatch):
            act(bench)
        settle_later(bench)
        after = seen(bench)
        assert after in (before, AFTER[change])
        assert len(bench.told()) == len(told) + (after != before)
        if after == before:
            act(bench)
        assert seen(bench) == AFTER[change]

    def test_a_change_under_way_keeps_others_out(
        self, bench: Bench, change: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        act = prepared(bench, change)
        with killed_at_write(bench, 2, monkeypatch):
            act(bench)
        with pytest.raises((Conflict, NotFound)) as kept_out:
            delete(bench)
        assert getattr(kept_out.value, "code", "") in ("WORKITEM_BUSY", "NO_SUCH_WORKITEM")


def _die_at(pacs: Any, nth: int) -> Callable[[], None]:
    """Make a server carry out its nth request from now on, reset the connection, and be down; give what ends that."""
    numbers = iter(range(100))
    serve = pacs.serve

    def counted(received: Any) -> Answer:
        reply: Answer = serve(received)
        if next(numbers) == nth:
            pacs.dying = True
            return reset
        return reply

    def survive() -> None:
        pacs.serve, pacs.down = serve, False

    pacs.serve = counted
    return survive


def test_a_table_that_does_not_answer_is_told_as_such(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.store, "table", "NoSuchTable")
    with pytest.raises(Unavailable):
        create(bench)
    with pytest.raises(Unavailable):
        bench.service.get(STUDY)


def test_nothing_is_seen_by_others_while_it_is_being_made(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with killed_at_write(bench, 2, monkeypatch):
        create(bench)
    assert studies(bench) == set()
    with pytest.raises(NotFound):
        bench.service.get(STUDY)
