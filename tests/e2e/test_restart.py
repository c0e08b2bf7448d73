"""`make down` and `make up`, and a MiniStack that is killed: streams are read at once as before, not by a sweep."""

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from local.processes import http_status
from tests.support.exams import feed
from tests.support.stack import Stack
from tests.support.waiting import wait_for
from tests.support.worklist import new_workitem

# Well below the five minutes of the sweep, which is switched off besides.
SECONDS = 60


@contextlib.contextmanager
def sweep(stack: Stack, state: str) -> Iterator[dict[str, Any]]:
    """Put the schedule of the outbox's sweep into a state; yield it as it was."""
    scheduler = stack.client("scheduler")
    [found] = [one for one in scheduler.list_schedules()["Schedules"] if "SweepOutbox" in one["Name"]]
    was = scheduler.get_schedule(Name=found["Name"], GroupName=found["GroupName"])
    wanted = {name: was[name] for name in ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target")}
    scheduler.update_schedule(**wanted, State=state)
    try:
        yield was
    finally:
        scheduler.update_schedule(**wanted, State=was["State"])


@pytest.fixture
def unswept(stack: Stack) -> Iterator[Stack]:
    """A stack on which an event comes by the stream or not at all."""
    with sweep(stack, "DISABLED") as was:
        assert was["State"] == "ENABLED"
        yield stack


def file_of(stack: Stack, study: str) -> bool:
    return (stack.orthanc.worklists / f"{study}.wl").exists()


def add_and_see(stack: Stack, count: int = 1) -> list[str]:
    """Make workitems; the event and the worklist file of each come, both by the tables' streams."""
    studies = []
    for _ in range(count):
        body = new_workitem()
        studies.append(str(body["StudyInstanceUID"]))
        assert stack.request("POST", "/workitems", json=body).status_code == 200
    wait_for(lambda: all(file_of(stack, study) for study in studies), SECONDS)
    wait_for(lambda: {*studies} <= {event["data"].get("StudyInstanceUID") for event in feed(stack)}, SECONDS)
    return studies


def restart(stack: Stack) -> None:
    """Start again what was stopped or killed; the API is where it was."""
    assert stack.local.up()["API_URL"] == stack.api_url
    [found] = [one for one in stack.client("scheduler").list_schedules()["Schedules"] if "SweepOutbox" in one["Name"]]
    assert found["State"] == "DISABLED"


def test_streams_go_on_after_down_and_up_and_after_a_kill(unswept: Stack) -> None:
    stack = unswept
    # GIVEN streams of which more records were read than will come after the restart, and a workitem whose file is
    # missing, as if MiniStack had stopped before it read the stream
    before = add_and_see(stack, 3)
    (stack.orthanc.worklists / f"{before[0]}.wl").unlink()
    # WHEN the stack is stopped and started
    assert stack.local.down() == ["MiniStack", "Orthanc"]
    restart(stack)
    # THEN the very first change is seen, and every workitem has its file
    [after] = add_and_see(stack)
    wait_for(lambda: all(file_of(stack, study) for study in before), SECONDS)

    # WHEN MiniStack is killed, so that its tables are those of the last stop
    pid = stack.local.ministack.pid
    assert pid is not None
    os.killpg(pid, signal.SIGKILL)
    wait_for(lambda: stack.local.ministack.pid is None and http_status(stack.local.settings.endpoint) == 0)
    restart(stack)
    # THEN changes are seen again, and no file shows a modality what the table has forgotten
    add_and_see(stack)
    assert stack.request("GET", f"/workitems/{after}").status_code == 404
    wait_for(lambda: not file_of(stack, after), SECONDS)


@pytest.mark.skipif("SOAK" not in os.environ, reason="waits for what does not come")
def test_control_streams_that_are_not_rewound_stand_still(unswept: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = unswept
    add_and_see(stack, 3)
    # GIVEN a stack that starts with the positions of its last run, as MiniStack saves them
    stack.local.down()
    with monkeypatch.context() as broken:
        broken.setattr("local.ministack.rewind_streams", lambda state: None)
        restart(stack)
    # WHEN a workitem is made THEN it is there, and its file does not come
    body = new_workitem()
    study = str(body["StudyInstanceUID"])
    assert stack.request("POST", "/workitems", json=body).status_code == 200
    with pytest.raises(AssertionError, match="not within"):
        wait_for(lambda: file_of(stack, study), 20)
    assert stack.request("GET", f"/workitems/{study}").status_code == 200
    # AND after a start that rewinds them it does, within seconds as that of another one
    stack.local.down()
    restart(stack)
    add_and_see(stack)
    wait_for(lambda: file_of(stack, study), SECONDS)
