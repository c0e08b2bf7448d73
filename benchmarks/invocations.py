"""Runs the function that ingests on several batches at once, as its queue does, each in a process of its own.

Polling the queue, and the second for which it gathers messages, are left out.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from benchmarks.senders import Sender
from benchmarks.servers import Servers
from benchmarks.staging import Staged, batches, invoke

# As many as on the local stack (template.yaml, MaximumConcurrency); on AWS IngestConcurrency says so.
AT_ONCE = 2


@contextmanager
def invocations() -> Iterator[Sender]:
    """Give a sender that ingests; its processes stay warm, in the environment in which it sends first."""
    with workers() as processes:

        def send(_: Servers, staged: Sequence[Staged]) -> None:
            list(processes.map(invoke, batches(staged)))

        yield send


def workers() -> ProcessPoolExecutor:
    """Return the processes. They end with this process even where it is killed; those of a plain pool wait for ever."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(AT_ONCE, mp_context=context, initializer=_end_with_parent)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
