"""From an exam's last instance to its webhook on a local stack, beside a URL that answers and beside one that hangs.

A hanging URL takes the request and never answers, until the sender gives up: a URL that refuses costs next to nothing.
Both kinds of blocks have two URLs. One that hangs is left alone for some seconds once that is seen, so fewer webhooks
are sent then: it is the service as a whole that is compared. The second URL is a new one in each block: what is
remembered of a URL that hung does not help in the next block, nor does it burden the block without.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from benchmarks.servers import WorkNotDone
from benchmarks.table import Row
from dicom_service import aws
from dicom_service.exams.registry import Arrived, ExamRegistry, ExamSettings
from local.processes import free_ports
from local.settings import Ports, Settings
from local.stack import LocalStack
from tests.support.exams import exam, upload_to_pacs
from tests.support.stack import Stack
from tests.support.webhooks import Delivery, Receiver, point_webhooks

_FIRST = "/hook"
_BLOCKS = 4  # of each kind
_BLOCK = 25
_EXAMS = _BLOCKS * _BLOCK
_WARM_UP = 10  # exams at once that do not count: each block starts new processes, as many as may deliver at a time
_DEADLINE = 120.0
# Held for so long, a request was not refused.
_HUNG = 0.5


class Hanging(Receiver):
    """A receiver that holds the requests to one of its paths and never answers them."""

    def __init__(self, keys: dict[str, object]) -> None:
        super().__init__(keys)
        self.hanging = ""
        self.held: list[float] = []
        self._released = threading.Event()

    def take(self, request: BaseHTTPRequestHandler) -> None:
        """Answer, or hold the request until its sender has hung up."""
        if request.path != self.hanging:
            super().take(request)
            return
        since = time.monotonic()
        request.rfile.read(int(request.headers["Content-Length"]))
        request.connection.settimeout(0.1)
        while not self._released.is_set():
            with contextlib.suppress(TimeoutError):
                if not request.connection.recv(1):
                    break
        self.held.append(time.monotonic() - since)

    @contextlib.contextmanager
    def hangs(self, path: str) -> Iterator[None]:
        """Hold what comes to a path meanwhile; in the end hang up on all of it.

        Raises
        ------
        WorkNotDone
            Nothing came, or nothing that was held.
        """
        self.hanging, self.held = path, []
        self._released.clear()
        try:
            yield
        finally:
            self.hanging = ""
            self._released.set()
        time.sleep(0.3)
        if max(self.held, default=0) < _HUNG:
            raise WorkNotDone(f"{len(self.held)} requests came to the URL that hangs, none was held")


def measure() -> Iterator[Row]:
    """Measure on a local stack of its own."""
    with _stack() as stack, _environment(stack), _receiver(stack) as receiver:
        registry = ExamRegistry(
            ExamSettings(stack.outputs["ExamsTable"], stack.outputs["ExamChecksQueue"], quiet_period=2)
        )
        times: dict[bool, list[float]] = {False: [], True: []}
        # A B B A, so that a slow moment of the machine falls on both.
        for number in range(2 * _BLOCKS):
            hangs = number % 4 in (1, 2)
            times[hangs] += _block(stack, registry, receiver, f"/second/{number}", hangs=hangs)
        if receiver.rejected:
            raise WorkNotDone(f"{len(receiver.rejected)} webhooks had a bad signature")
    yield from _rows(times[False], times[True])


def _rows(beside_answering: list[float], beside_hanging: list[float]) -> Iterator[Row]:
    for name, of in (("p50", statistics.median), ("p99", _p99)):
        theirs, ours = of(beside_answering), of(beside_hanging)
        label = f"last instance → webhook, {name} of {_EXAMS}"
        yield Row(label, "", theirs * 1000, "ms")
        aim = 1.2 if name == "p99" else None
        beside = "beside a URL that answers"
        yield Row(f"{label}, beside a URL that hangs", beside, ours * 1000, "ms", theirs * 1000, ours / theirs, aim)


def _block(stack: Stack, registry: ExamRegistry, receiver: Hanging, second: str, *, hangs: bool) -> list[float]:
    """Time some exams; each must come to the first URL, and to the second if that answers."""
    point_webhooks(stack, [receiver.url(_FIRST), receiver.url(second)], "")
    with ThreadPoolExecutor(_WARM_UP) as pool:
        list(pool.map(lambda _: _one(stack, registry, receiver), range(_WARM_UP)))
    with receiver.hangs(second) if hangs else contextlib.nullcontext():
        timed = dict(_one(stack, registry, receiver) for _ in range(_BLOCK))
    longest = sorted(timed.values())[-3:]
    beside = "hangs" if hangs else "answers"
    print(f"  {_BLOCK} exams beside a URL that {beside}: longest {longest}", file=sys.stderr, flush=True)
    if len(timed) != _BLOCK:
        raise WorkNotDone(f"{len(timed)} of {_BLOCK} exams were announced")
    deadline = time.monotonic() + _DEADLINE
    while not hangs and not all(receiver.of(study, second) for study in timed):
        if time.monotonic() > deadline:
            raise WorkNotDone("not all exams came to the second URL, although it answers")
        time.sleep(0.05)
    return list(timed.values())


@contextlib.contextmanager
def _stack() -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="dicom-service-bench-") as folder:
        local = LocalStack(Settings(Path(folder), Ports(*free_ports(3))))
        try:
            yield Stack(local, local.up())
        finally:
            local.down()


@contextlib.contextmanager
def _environment(stack: Stack) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(stack.local.settings.aws_environment())
    aws.forget_clients()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        aws.forget_clients()


@contextlib.contextmanager
def _receiver(stack: Stack) -> Iterator[Hanging]:
    secret = stack.client("secretsmanager").get_secret_value(SecretId=stack.outputs["WebhookKeysSecret"])
    receiver = Hanging(json.loads(secret["SecretString"]))
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()


def _one(stack: Stack, registry: ExamRegistry, receiver: Receiver) -> tuple[str, float]:
    """Return an exam and the seconds from the arrival of an exam's last instance to its webhook."""
    study, files = exam(1, 1)
    upload_to_pacs(stack, files)
    instance = Arrived(
        study, f"{study}.0"[:64], f"2.25.{uuid.uuid4().int}", "1.2.840.10008.5.1.4.1.1.7", "OT", "P", "A"
    )
    session = uuid.uuid4().hex
    started = time.monotonic()
    registry.record([instance], source="upload", session=session)
    registry.complete_session(session, [study])
    while not receiver.of(study, _FIRST):
        if time.monotonic() - started > _DEADLINE:
            raise WorkNotDone(f"no webhook within {_DEADLINE:.0f} s")
        time.sleep(0.005)
    at = min(each.at for each in receiver.deliveries if each.path == _FIRST and _study_of(each) == study)
    return study, at - started


def _study_of(delivery: Delivery) -> str:
    return str(delivery.body["data"]["StudyInstanceUID"])


def _p99(times: list[float]) -> float:
    return sorted(times)[int(0.99 * len(times)) - 1]
