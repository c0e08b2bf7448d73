"""Waiting for a state, and asserting an absence that is able to fail."""

import time
from collections.abc import Callable
from typing import Any


def wait_for(what: Callable[[], Any], seconds: float = 90) -> Any:
    """Wait until `what` is true and return it; fail with what it was last."""
    deadline, pause = time.monotonic() + seconds, 0.05
    while not (found := what()):
        assert time.monotonic() < deadline, f"not within {seconds} s, but {found!r}"
        time.sleep(pause)
        # Who looks all the time takes the processor from what he waits for.
        pause = min(0.4, 1.5 * pause)
    return found


def eventually_absent(what: Callable[[], object], marker: Callable[[], object], seconds: float = 90) -> None:
    """Assert that `what` is not there once a later marker is: what was sent first would have come by then.

    Parameters
    ----------
    what
        Looks for what must not be there.
    marker
        Looks for something that was sent after it and takes the same way. It must not be there already from earlier.
    """
    wait_for(marker, seconds)
    found = what()
    assert not found, f"there although it must not be: {found!r}"
