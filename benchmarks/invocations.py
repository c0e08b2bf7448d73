"""Runs the function that ingests as its queue does: several batches at once, each in a process of its own."""

from __future__ import annotations

import multiprocessing
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
    """Give a sender that ingests; its processes stay warm, and know the stores that this process knows now."""
    with ProcessPoolExecutor(AT_ONCE, mp_context=multiprocessing.get_context("spawn")) as processes:

        def send(_: Servers, staged: Sequence[Staged]) -> None:
            list(processes.map(invoke, batches(staged)))

        yield send
