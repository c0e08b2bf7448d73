"""ZIPs that take long hold up each other, and no file beside them."""

import time
from collections.abc import Callable

import pytest

from tests.support.hostile_zips import hostile_large, hostile_nested, hostile_shared
from tests.support.stack import Stack
from tests.support.staged import progress, send
from tests.support.upload_files import ROOT, dicom
from tests.support.waiting import wait_for

# Several times as many as are unpacked at once, so that some still wait when the file beside them comes: those within
# each other take the least time.
ZIPS = {hostile_nested: 16, hostile_shared: 4, hostile_large: 4}


def seconds_to_store(stack: Stack, name: str) -> float:
    """How long a small file of its own study takes from the end of its sending until it is stored."""
    upload_id = send(stack, {"alone.dcm": dicom(1, study=f"{ROOT}.{time.time_ns()}")})
    start = time.monotonic()
    wait_for(lambda: progress(stack, upload_id)["state"] == "completed", 120)
    seconds = time.monotonic() - start
    assert progress(stack, upload_id)["counts"] == {"stored": 1}, name
    return seconds


def being_unpacked(stack: Stack) -> int:
    name = "ApproximateNumberOfMessagesNotVisible"
    found = stack.client("sqs").get_queue_attributes(QueueUrl=stack.outputs["ZipQueue"], AttributeNames=[name])
    return int(found["Attributes"][name])


@pytest.mark.parametrize("make", [hostile_nested, hostile_shared, hostile_large])
def test_a_file_beside_hostile_zips_is_stored_before_they_are_unpacked(stack: Stack, make: Callable[[], bytes]) -> None:
    # GIVEN how long a file takes alone, and ZIPs in all places where ZIPs are unpacked
    alone = seconds_to_store(stack, "alone")
    others = being_unpacked(stack)  # messages of other tests that are no events
    zips = send(stack, {f"{n}.zip": content for n, content in enumerate([make()] * ZIPS[make])})
    wait_for(lambda: being_unpacked(stack) >= others + 2, 60)

    # WHEN a file comes
    beside = seconds_to_store(stack, "beside")

    # THEN it is stored while they are at it, and they come to their end
    unfinished = progress(stack, zips)["counts"].get("received", 0)
    wait_for(lambda: progress(stack, zips)["state"] == "completed", 300)
    print(
        f"\nbeside {ZIPS[make]} × {make.__name__}: {beside:.1f} s, {unfinished} unfinished then; alone: {alone:.1f} s"
    )
    assert unfinished >= 1
