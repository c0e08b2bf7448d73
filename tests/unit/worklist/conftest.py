"""Tables in process (moto), made from template.yaml, and the worklist over each backend."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from dicom_service.outbox import Outbox, OutboxSettings
from dicom_service.pacs_errors import pacs_errors
from dicom_service.worklist.dynamodb import DynamoWorklist
from dicom_service.worklist.pacs_worklist import PacsWorklist
from dicom_service.worklist.reconcile import Reconciler
from dicom_service.worklist.service import WorklistService
from dicom_service.worklist.store import WorkitemStore
from tests.support import cloud as clouds
from tests.support.cloud import moto
from tests.support.pacs import FakePacs
from tests.support.worklist import Harness, open_worklist
from tests.support.worklist_pacs import MAKERS

TABLES = ("WorkitemsTable", "ExamEventsTable", "UidsTable")
OWN = "dynamodb"

__all__ = ["moto"]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with clouds.cloud(monkeypatch, dict(zip(TABLES, TABLES, strict=True))):
        yield


@pytest.fixture(params=[OWN, *MAKERS])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def harness(cloud: None, kind: str) -> Iterator[Harness]:
    numbers = count(1)

    def new_uids(wanted: int) -> list[str]:
        return [f"2.25.{next(numbers)}" for _ in range(wanted)]

    store = WorkitemStore("WorkitemsTable", Outbox(OutboxSettings("ExamEventsTable")))
    if kind == OWN:
        own = DynamoWorklist(store)
        yield Harness(kind, WorklistService(own, new_uids), Reconciler(own), store)
        return
    server = MAKERS[kind]()
    with FakePacs(server) as pacs:
        now = [1_800_000_000.0]
        at_pacs = open_worklist(kind, pacs.url)
        worklist = PacsWorklist(at_pacs, store, new_uid=lambda: new_uids(1)[0], clock=lambda: now[0])
        service = WorklistService(worklist, new_uids, error_mapping=pacs_errors)
        reconciler = Reconciler(worklist, error_mapping=pacs_errors)
        yield Harness(kind, service, reconciler, store, server, worklist, now, at_pacs)
