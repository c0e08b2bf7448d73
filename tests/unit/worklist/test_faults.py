"""A PACS or a function that dies in the middle leaves nothing half done: each step of each change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dicom_service.errors import Conflict, NotFound, PacsError, ServiceError, Unavailable
from dicom_service.worklist.pacs_worklist import PENDING_TIMEOUT
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


def recover_later(bench: Bench) -> None:
    """Let the time pass after which a pending change counts as interrupted, then recover."""
    assert bench.pacs_worklist is not None
    bench.now[0] += PENDING_TIMEOUT + 1
    server(bench).down = False
    recovered = bench.pacs_worklist.recover()
    assert recovered.left == 0
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


# How many requests each change takes: UPS-RS also cancels in two, and MWL-RS also changes the patient.
REQUESTS = {kind: dict.fromkeys(CHANGES, 2) for kind in ("ups-rs", "mwl-rs", "orthanc")}
REQUESTS["ups-rs"] |= {"complete": 3, "cancel begun": 3, "delete": 3}
REQUESTS["mwl-rs"] |= {"reschedule": 3}


class TestCreate:
    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            (reset, "PACS_UNREACHABLE"),
            (nothing(500), "PACS_ERROR"),
            (nothing(503), "PACS_BUSY"),
            (html(), "PACS_ERROR"),
            (nothing(400), "PACS_ERROR"),
            (nothing(404), "NOT_FOUND"),
            (nothing(409), {"ups-rs": "DUPLICATE_WORKITEM"}),
        ],
    )
    def test_a_pacs_that_does_not_take_it_leaves_nothing(
        self, bench: Bench, fault: Answer, code: str | dict[str, str]
    ) -> None:
        # GIVEN a PACS that fails before it does anything, however it says so
        server(bench).faults += [("POST", "/", "before", fault)] * 2
        # WHEN a workitem is created THEN the caller is told, and nothing is left
        with pytest.raises(ServiceError) as refused:
            create(bench)
        assert refused.value.code == (code if isinstance(code, str) else code.get(bench.kind, "PACS_ERROR"))
        assert len(server(bench).faults) < 2
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
        with pytest.raises(PacsError):
            create(bench)
        # WHEN it is back THEN nobody sees the half workitem, and it is taken back
        server(bench).down = False
        assert seen(bench) is None
        with pytest.raises(Conflict):
            create(bench)
        recover_later(bench)
        assert seen(bench) is None
        assert bench.told() == []
        create(bench)
        assert seen(bench) == (SCHEDULED, "20261122")

    @pytest.mark.parametrize("write", [1, 2])
    def test_killed_between_any_two_writes(self, bench: Bench, write: int, monkeypatch: pytest.MonkeyPatch) -> None:
        with killed_at_write(bench, write, monkeypatch):
            create(bench)
        assert seen(bench) is None
        recover_later(bench)
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
        with pytest.raises(PacsError):
            act(bench)
        server(bench).down = False
        assert seen(bench) == before
        assert bench.told() == told
        bench.now[0] += PENDING_TIMEOUT + 1
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
        recover_later(bench)
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
        with pytest.raises(Conflict) as kept_out:
            delete(bench)
        assert kept_out.value.code == "WORKITEM_BUSY"


@pytest.mark.parametrize(
    ("kind", "change", "nth"),
    [
        (kind, change, nth)
        for kind, changes in REQUESTS.items()
        for change, requests in changes.items()
        for nth in range(requests + 1)
    ],
)
def test_a_pacs_that_dies_at_any_request(bench: Bench, change: str, nth: int) -> None:
    # GIVEN a PACS that carries out the nth request of a change, loses its answer, and is then down
    act = prepared(bench, change)
    before, told = seen(bench), bench.told()
    death = Death(server(bench), nth)
    try:
        act(bench)
    except ServiceError:
        # WHEN it is recovered THEN the change is there as a whole, or not at all, and published or not
        death.end()
        recover_later(bench)
    death.end()
    assert death.met == (nth < REQUESTS[bench.kind][change]), "the last case finds that there is no further request"
    after = seen(bench)
    assert after in (before, AFTER[change])
    assert len(bench.told()) == len(told) + (after != before)
    # AND doing it again ends where it should
    if after == before:
        act(bench)
    assert seen(bench) == AFTER[change]


class Death:
    """Makes a server carry out its nth request from now on, reset the connection, and be down."""

    def __init__(self, pacs: Any, nth: int) -> None:
        self._pacs = pacs
        self._serve = pacs.serve
        self._left = nth
        self.met = False
        pacs.serve = self._counted

    def end(self) -> None:
        self._pacs.serve, self._pacs.down = self._serve, False

    def _counted(self, received: Any) -> Answer:
        reply: Answer = self._serve(received)
        self._left -= 1
        if self._left < 0 and not self.met:
            self._pacs.dying = self.met = True
            return reset
        return reply


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
