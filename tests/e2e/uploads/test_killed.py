"""Workers of the ingest that are killed while they wait for the PACS (``SOAK=1``: each death costs two minutes)."""

import os
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from dicom_service.ingest.jobs import MOST_DEATHS
from tests.support.deployed import kill, variables
from tests.support.faults import FaultyProxy
from tests.support.stack import Stack
from tests.support.staged import ended, progress, send
from tests.support.upload_files import dicom
from tests.support.waiting import wait_for

pytestmark = pytest.mark.skipif(not os.environ.get("SOAK"), reason="minutes of waiting: SOAK=1")
# Far beyond what the test takes: a worker that is stalled ends by being killed.
STALL = 600.0


class Hidden:
    """What was seen of an upload while nobody worked on it."""

    def __init__(self, stack: Stack, upload_id: str) -> None:
        self._stack, self._upload_id = stack, upload_id
        self.states: set[str] = set()

    def ended(self) -> bool:
        told: dict[str, Any] = progress(self._stack, self._upload_id)
        self.states |= set(told["counts"])
        return bool(told["state"] == "completed")


def one_file(number: int) -> dict[str, bytes]:
    """A file of a study of its own."""
    return {"file": dicom(number, study=f"2.25.{uuid.uuid4().int}")}


def stalled(proxy: FaultyProxy, count: int) -> Callable[[], bool]:
    return lambda: proxy.met["stall"] >= count


def test_a_file_whose_worker_is_killed_is_stored_after_two_minutes(stack: Stack) -> None:
    # GIVEN a worker that waits for the PACS with a file, and is killed
    with (
        FaultyProxy(stack.pacs.url, stall=STALL) as proxy,
        variables(stack, "IngestExamFunction", PACS_URL=proxy.url),
    ):
        proxy.script(["stall"])
        upload_id = send(stack, one_file(1))
        wait_for(stalled(proxy, 1), 60)
        seen = Hidden(stack, upload_id)
        assert not seen.ended()
        kill(stack, "IngestExamFunction")
        began = time.monotonic()
        # THEN it is seen as received, not as waiting to be sent, and is stored long before the 960 s of its queue
        wait_for(seen.ended, 400)
        took = time.monotonic() - began
    assert seen.states == {"received", "stored"}
    print(f"\nkilled once: stored after {took:.0f} s")


def test_a_file_that_kills_its_worker_each_time_ends_alone(stack: Stack) -> None:
    # GIVEN a file during which each worker is killed, and a good one that comes after the first death
    with (
        FaultyProxy(stack.pacs.url, stall=STALL) as proxy,
        variables(stack, "IngestExamFunction", PACS_URL=proxy.url),
    ):
        proxy.script(["stall"])
        bad = send(stack, one_file(1))
        deaths, good = 0, ""
        began = time.monotonic()
        while progress(stack, bad)["state"] == "open":
            assert time.monotonic() - began < 1200
            if proxy.met["stall"] > deaths:
                kill(stack, "IngestExamFunction")
                deaths += 1
                if not good:
                    good = send(stack, one_file(2))
                    ended(stack, good)
                proxy.script(["stall"])
            time.sleep(0.5)
        took = time.monotonic() - began
    # THEN it is given up, and the other was stored meanwhile
    assert [entry.get("reason") for entry in progress(stack, bad)["files"]] == ["INTERNAL_ERROR"]
    assert progress(stack, good)["counts"] == {"stored": 1}
    assert deaths >= MOST_DEATHS
    print(f"\nkilled each time: given up after {deaths} deaths, {took:.0f} s")
