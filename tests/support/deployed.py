"""The stack's functions with other variables, as a deployment with other parameters would give them."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.stack import Stack


@contextmanager
def variables(stack: Stack, function: str, **changes: str) -> Iterator[str]:
    """Change variables of the one function whose name has this in it, and give its name.

    It starts anew, and once more afterwards.
    """
    functions = stack.client("lambda")
    pages = functions.get_paginator("list_functions").paginate()
    [found] = [one for page in pages for one in page["Functions"] if function in one["FunctionName"]]
    before: dict[str, Any] = found["Environment"]["Variables"]

    def put(values: dict[str, Any]) -> None:
        functions.update_function_configuration(FunctionName=found["FunctionName"], Environment={"Variables": values})

    put(before | changes)
    try:
        yield str(found["FunctionName"])
    finally:
        put(before)


def processes_of(stack: Stack, function: str) -> list[int]:
    """The processes of this stack that run a function; those of other stacks on the machine are not among them."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(stack.local.settings.state) in command and function in command:
            found.append(int(entry.parent.name))
    return found


def kill(stack: Stack, function: str) -> None:
    """Kill a function of this stack, in each of its processes."""
    found = processes_of(stack, function)
    assert found, f"no process runs {function}"
    for pid in found:
        os.kill(pid, signal.SIGKILL)


# FilterLogEvents of the emulator gives the oldest events up to this number, and no token for more.
_PAGE = 10_000


def log_messages(stack: Stack, group: str) -> list[str]:
    """Return all messages of a log group, however many there are."""
    logs, start = stack.client("logs"), 0
    found: dict[tuple[Any, ...], None] = {}
    while True:
        events = logs.filter_log_events(logGroupName=group, startTime=start, limit=_PAGE)["events"]
        # The last instant of a page is read again with the next.
        found |= {(event["timestamp"], event["logStreamName"], event["message"]): None for event in events}
        if len(events) < _PAGE:
            return [message for *_, message in found]
        assert events[-1]["timestamp"] > start
        start = events[-1]["timestamp"]
