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


def add_and_see(stack: Stack) -> str:
    """Make a workitem; its event and its worklist file come, both by the tables' streams."""
    body = new_workitem()
    study = str(body["StudyInstanceUID"])
    assert stack.request("POST", "/workitems", json=body).status_code == 200
    wait_for(lambda: file_of(stack, study), SECONDS)
    wait_for(lambda: study in [event["data"].get("StudyInstanceUID") for event in feed(stack)], SECONDS)
    return study


def restart(stack: Stack) -> None:
    """Start again what was stopped or killed; the API is where it was."""
    assert stack.local.up()["API_URL"] == stack.api_url
    [found] = [one for one in stack.client("scheduler").list_schedules()["Schedules"] if "SweepOutbox" in one["Name"]]
    assert found["State"] == "DISABLED"


def test_streams_go_on_after_down_and_up_and_after_a_kill(unswept: Stack) -> None:
    stack = unswept
    # GIVEN streams of which more records were read than will come after the restart
    before = [add_and_see(stack) for _ in range(3)]
    # WHEN the stack is stopped and started THEN the very first change is seen
    assert stack.local.down() == ["MiniStack", "Orthanc"]
    restart(stack)
    after = add_and_see(stack)
    assert [file_of(stack, study) for study in before] == [True] * 3

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


def test_a_file_that_the_stream_never_showed_is_there_after_a_start(stack: Stack) -> None:
    # GIVEN a workitem whose file is missing, as if MiniStack had stopped before it read the stream
    study = add_and_see(stack)
    (stack.orthanc.worklists / f"{study}.wl").unlink()
    # WHEN the stack is stopped and started THEN it is written
    stack.local.down()
    stack.local.up()
    wait_for(lambda: file_of(stack, study), SECONDS)
