"""From an exam's last instance to its webhook on the local stack, with and without a dead URL.

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
from pathlib import Path

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
        beside_dead: list[float] = []
        # In turn, so that a slow moment of the machine falls on both.
        for start in range(0, 2 * _EXAMS, _BLOCK):
            dead = bool(start // _BLOCK % 2)
            if dead:
                dying.stop()
            else:
                dying.start()
            into = beside_dead if dead else healthy
            into += [_one(stack, registry, well) for _ in range(_BLOCK)]
    with_dead, without = _p99(beside_dead), _p99(healthy)
    yield Row("last instance → webhook, p50 of 100", "", statistics.median(healthy) * 1000, "ms")
    yield Row("last instance → webhook, p99 of 100", "", without * 1000, "ms")
    ratio = with_dead / without
    yield Row("the same, p99 beside a dead URL", "without", with_dead * 1000, "ms", without * 1000, ratio, 1.2)


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
def _receivers(stack: Stack) -> Iterator[tuple[Receiver, Receiver]]:
    secret = stack.client("secretsmanager").get_secret_value(SecretId=stack.outputs["WebhookKeysSecret"])
    well, dying = Receiver(json.loads(secret["SecretString"])), Receiver(json.loads(secret["SecretString"]))
    well.start()
    dying.start()
    dying.stop()
    point_webhooks(stack, [well.url("/hook"), dying.url("/hook")], "")
    try:
        yield well, dying
    finally:
        point_webhooks(stack, [], "")
        well.stop()
        dying.stop()


def _one(stack: Stack, registry: ExamRegistry, receiver: Receiver) -> float:
    """Give the seconds from the arrival of an exam's last instance to its webhook."""
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
