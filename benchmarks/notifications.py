"""From an exam's last instance to its webhook on the local stack, alone and beside a URL that hangs.

A hanging URL takes the request and never answers, until the sender gives up: a URL that refuses costs next to nothing.

With ``STACK_ENV=local/.state/env`` the stack that ``make up`` started is used, otherwise one of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
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
from tests.support.stack import Stack, _running_stack
from tests.support.webhooks import Receiver, point_webhooks

_EXAMS = 100
_BLOCK = 25
_DEADLINE = 120.0


def measure() -> Iterator[Row]:
    """Measure on the local stack."""
    with _stack() as stack, _environment(stack), _receivers(stack) as (well, dying):
        registry = ExamRegistry(
            ExamSettings(stack.outputs["ExamsTable"], stack.outputs["ExamChecksQueue"], quiet_period=2)
        )
        for _ in range(5):
            _one(stack, registry, well)
        healthy: list[float] = []
        beside_hanging: list[float] = []
        # In turn, so that a slow moment of the machine falls on both.
        for start in range(0, 2 * _EXAMS, _BLOCK):
            dying.hangs = bool(start // _BLOCK % 2)
            met = dying.met
            into = beside_hanging if dying.hangs else healthy
            into += [_one(stack, registry, well) for _ in range(_BLOCK)]
            if dying.hangs and dying.met == met:
                raise WorkNotDone("nothing was sent to the URL that hangs")
        _check(well)
    with_hanging, without = _p99(beside_hanging), _p99(healthy)
    yield Row("last instance → webhook, p50 of 100", "", statistics.median(healthy) * 1000, "ms")
    yield Row("last instance → webhook, p99 of 100", "", without * 1000, "ms")
    yield Row("the same, p50 beside a URL that hangs", "", statistics.median(beside_hanging) * 1000, "ms")
    ratio = with_hanging / without
    yield Row("the same, p99 beside a URL that hangs", "without", with_hanging * 1000, "ms", without * 1000, ratio, 1.2)


class Hanging(Receiver):
    """A receiver that, told so, takes requests and does not answer them."""

    hangs = False
    met = 0

    def take(self, request: BaseHTTPRequestHandler) -> None:
        """Hold the request until its sender has hung up."""
        if not self.hangs:
            super().take(request)
            return
        self.met += 1
        request.rfile.read(int(request.headers["Content-Length"]))
        request.connection.settimeout(60)
        with contextlib.suppress(OSError):
            request.connection.recv(1)


def _check(well: Receiver) -> None:
    """Count what came: each exam once, every signature good."""
    studies = [delivery.body["data"]["StudyInstanceUID"] for delivery in well.deliveries]
    if len(set(studies)) < 2 * _EXAMS or well.refused:
        raise WorkNotDone(f"{len(set(studies))} exams were told of, {len(well.refused)} deliveries had a bad signature")


@contextlib.contextmanager
def _stack() -> Iterator[Stack]:
    if env_file := os.environ.get("STACK_ENV"):
        yield _running_stack(Path(env_file).resolve())
        return
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
def _receivers(stack: Stack) -> Iterator[tuple[Receiver, Hanging]]:
    secret = stack.client("secretsmanager").get_secret_value(SecretId=stack.outputs["WebhookKeysSecret"])
    well, dying = Receiver(json.loads(secret["SecretString"])), Hanging(json.loads(secret["SecretString"]))
    well.start()
    dying.start()
    point_webhooks(stack, [well.url("/hook"), dying.url("/hook")], "")
    try:
        yield well, dying
    finally:
        point_webhooks(stack, [], "")
        dying.hangs = False
        well.stop()
        dying.stop()


def _one(stack: Stack, registry: ExamRegistry, receiver: Receiver) -> float:
    """Return the seconds from the arrival of an exam's last instance to its webhook."""
    study, files = exam(1, 1)
    upload_to_pacs(stack, files)
    instance = Arrived(
        study, f"{study}.0"[:64], f"2.25.{uuid.uuid4().int}", "1.2.840.10008.5.1.4.1.1.7", "OT", "P", "A"
    )
    session = uuid.uuid4().hex
    started = time.monotonic()
    registry.record([instance], source="upload", session=session)
    registry.complete_session(session, [study])
    while not receiver.of(study):
        if time.monotonic() - started > _DEADLINE:
            raise TimeoutError(f"no webhook within {_DEADLINE:.0f} s")
        time.sleep(0.005)
    return next(d.at for d in receiver.deliveries if d.body["data"]["StudyInstanceUID"] == study) - started


def _p99(times: list[float]) -> float:
    return sorted(times)[int(0.99 * len(times)) - 1]
