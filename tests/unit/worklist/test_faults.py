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
from tests.support.faults import Killed
from tests.support.pacs import Answer, html, reset
from tests.support.worklist import Harness, body, studies
from tests.support.worklist_pacs import nothing

STUDY = "1.2.3.1"


# The dialects of UPS-RS differ in their words, not in their steps.
@pytest.fixture(params=["ups-rs", "mwl-rs", "orthanc"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def server(harness: Harness) -> Any:
    assert harness.server is not None
    return harness.server


def recover_later(harness: Harness) -> None:
    """Let the time pass after which a pending change counts as interrupted, then recover."""
    assert harness.pacs_worklist is not None
    harness.now[0] += PENDING_TIMEOUT + 1
    server(harness).down = False
    recovered = harness.pacs_worklist.recover()
    assert recovered.left == 0
    assert not [row for row in harness.rows() if "ixPending" in row]


@contextmanager
def killed_at_write(harness: Harness, number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
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


def create(harness: Harness) -> None:
    harness.service.create(body())


def reschedule(harness: Harness) -> None:
    harness.service.update(STUDY, {"ScheduledProcedureStepStartDate": "20270102"})


def begin(harness: Harness) -> None:
    harness.service.change_state(STUDY, {"State": IN_PROGRESS})


def complete(harness: Harness) -> None:
    harness.service.change_state(STUDY, {"State": COMPLETED})


def cancel(harness: Harness) -> None:
    harness.service.change_state(STUDY, {"State": CANCELED})


def delete(harness: Harness) -> None:
    harness.service.delete(STUDY)


Act = Callable[[Harness], None]
CHANGES: dict[str, tuple[tuple[Act, ...], Act]] = {
    "reschedule": ((create,), reschedule),
    "begin": ((create,), begin),
    "complete": ((create, begin), complete),
    "cancel": ((create,), cancel),
    "cancel begun": ((create, begin), cancel),
    "delete": ((create,), delete),
}


def prepared(harness: Harness, change: str) -> Act:
    before, act = CHANGES[change]
    for each in before:
        each(harness)
    return act


def seen(harness: Harness) -> tuple[str, str] | None:
    """State and day of the workitem as callers see it, alone and in the list; None when it is not there."""
    listed = harness.service.search(Query(), limit=10).items
    try:
        item = harness.service.get(STUDY)
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
        self, harness: Harness, fault: Answer, code: str | dict[str, str]
    ) -> None:
        # GIVEN a PACS that fails before it does anything, however it says so
        server(harness).faults += [("POST", "/", "before", fault)] * 2
        # WHEN a workitem is created THEN the caller gets an error, and nothing is left
        with pytest.raises(ServiceError) as rejected:
            create(harness)
        assert rejected.value.code == (code if isinstance(code, str) else code.get(harness.kind, "PACS_ERROR"))
        assert len(server(harness).faults) < 2
        server(harness).faults.clear()
        assert seen(harness) is None
        assert harness.published() == []
        # AND it can be created afterwards
        create(harness)
        assert seen(harness) == (SCHEDULED, "20261122")

    def test_a_lost_answer_is_found_out(self, harness: Harness) -> None:
        server(harness).faults.append(
            ("POST", "/w" if "ups" in harness.kind or harness.kind == "orthanc" else "/m", "after", reset)
        )
        if harness.kind == "mwl-rs":
            server(harness).patients["PID'1"] = {}
        create(harness)
        assert seen(harness) == (SCHEDULED, "20261122")
        assert harness.published() == ["Created"]
        # AND the workitem is whole: it can be worked on
        begin(harness)
        complete(harness)
        assert seen(harness) == (COMPLETED, "20261122")

    def test_a_pacs_that_dies_right_after_is_cleaned_up(self, harness: Harness) -> None:
        # GIVEN a PACS that takes the workitem, loses the answer, and is then down
        if harness.kind == "mwl-rs":
            server(harness).patients["PID'1"] = {}
        server(harness).faults.append(("POST", "/", "last", reset))
        with pytest.raises(PacsError):
            create(harness)
        # WHEN it is back THEN nobody sees the half workitem, and it is taken back
        server(harness).down = False
        assert seen(harness) is None
        with pytest.raises(Conflict):
            create(harness)
        recover_later(harness)
        assert seen(harness) is None
        assert harness.published() == []
        create(harness)
        assert seen(harness) == (SCHEDULED, "20261122")

    @pytest.mark.parametrize("write", [1, 2])
    def test_killed_between_any_two_writes(self, harness: Harness, write: int, monkeypatch: pytest.MonkeyPatch) -> None:
        with killed_at_write(harness, write, monkeypatch):
            create(harness)
        assert seen(harness) is None
        recover_later(harness)
        assert seen(harness) is None
        assert harness.published() == []
        create(harness)
        assert seen(harness) == (SCHEDULED, "20261122")


@pytest.mark.parametrize("change", CHANGES)
class TestChanges:
    def test_a_pacs_that_is_down_changes_nothing(self, harness: Harness, change: str) -> None:
        act = prepared(harness, change)
        before, published = seen(harness), harness.published()
        server(harness).down = True
        with pytest.raises(PacsError):
            act(harness)
        server(harness).down = False
        assert seen(harness) == before
        assert harness.published() == published
        harness.now[0] += PENDING_TIMEOUT + 1
        act(harness)
        assert seen(harness) == AFTER[change]

    @pytest.mark.parametrize("write", [1, 2])
    def test_killed_between_any_two_writes(
        self, harness: Harness, change: str, write: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        act = prepared(harness, change)
        before, published = seen(harness), harness.published()
        with killed_at_write(harness, write, monkeypatch):
            act(harness)
        recover_later(harness)
        after = seen(harness)
        assert after in (before, AFTER[change])
        assert len(harness.published()) == len(published) + (after != before)
        if after == before:
            act(harness)
        assert seen(harness) == AFTER[change]

    def test_a_change_under_way_keeps_others_out(
        self, harness: Harness, change: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        act = prepared(harness, change)
        with killed_at_write(harness, 2, monkeypatch):
            act(harness)
        with pytest.raises(Conflict) as kept_out:
            delete(harness)
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
def test_a_pacs_that_dies_at_any_request(harness: Harness, change: str, nth: int) -> None:
    # GIVEN a PACS that carries out the nth request of a change, loses its answer, and is then down
    act = prepared(harness, change)
    before, published = seen(harness), harness.published()
    death = Death(server(harness), nth)
    try:
        act(harness)
    except ServiceError:
        # WHEN it is recovered THEN the change is there as a whole, or not at all, and published or not
        death.end()
        recover_later(harness)
    death.end()
    assert death.met == (nth < REQUESTS[harness.kind][change]), "the last case finds that there is no further request"
    after = seen(harness)
    assert after in (before, AFTER[change])
    assert len(harness.published()) == len(published) + (after != before)
    # AND doing it again ends where it should
    if after == before:
        act(harness)
    assert seen(harness) == AFTER[change]


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


def test_a_table_that_does_not_answer_is_unavailable(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness.store, "table", "NoSuchTable")
    with pytest.raises(Unavailable):
        create(harness)
    with pytest.raises(Unavailable):
        harness.service.get(STUDY)


def test_nothing_is_seen_by_others_while_it_is_being_made(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    with killed_at_write(harness, 2, monkeypatch):
        create(harness)
    assert studies(harness) == set()
    with pytest.raises(NotFound):
        harness.service.get(STUDY)
