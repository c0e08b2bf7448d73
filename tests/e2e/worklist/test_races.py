"""32 at once on the real conditional writes of the stack's table, with the guard removed as the control.

The service runs in this process: 32 callers over HTTP would start 32 functions, and measure the machine.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dicom_service import aws
from dicom_service.errors import Conflict
from dicom_service.outbox import Event, Outbox, OutboxSettings
from dicom_service.worklist.dynamodb import DynamoWorklist
from dicom_service.worklist.service import WorklistService
from dicom_service.worklist.store import Row, WorkitemStore, to_item
from dicomweb.worklist.base import IN_PROGRESS
from tests.support.stack import Stack
from tests.support.worklist import new_workitem

CALLERS = 32


class Unguarded(WorkitemStore):
    """The usual mistake: look first, then write."""

    def write(self, row: Row, events: Sequence[Event] = ()) -> Row:
        if self.read(row.item.study_instance_uid) is not None:
            return super().write(row, events)
        aws.dynamodb().put_item(TableName=self.table, Item=to_item(row))
        return row


@pytest.fixture
def tables(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Any:
    client = stack.client("dynamodb")
    for module in (aws, aws.clients):
        monkeypatch.setattr(module, "dynamodb", lambda: client)
    return stack.outputs


def service(tables: dict[str, str], kind: type[WorkitemStore] = WorkitemStore) -> WorklistService:
    store = kind(tables["WorkitemsTable"], Outbox(OutboxSettings(tables["ExamEventsTable"])))
    return WorklistService(DynamoWorklist(store), lambda wanted: [f"2.25.{uuid.uuid4().int}" for _ in range(wanted)])


def outcomes(callers: int, act: Any) -> Counter[str]:
    start = threading.Barrier(callers)

    def one(_: int) -> str:
        start.wait()
        try:
            act()
        except Conflict as rejected:
            return rejected.code
        return "done"

    with ThreadPoolExecutor(callers) as pool:
        return Counter(pool.map(one, range(callers)))


def create_at_once(worklist: WorklistService) -> Counter[str]:
    study = new_workitem()["StudyInstanceUID"]
    return outcomes(CALLERS, lambda: worklist.create(new_workitem(StudyInstanceUID=study)))


def test_of_32_creations_one_wins(tables: dict[str, str]) -> None:
    worklist = service(tables)
    for _ in range(3):
        assert create_at_once(worklist) == {"done": 1, "DUPLICATE_WORKITEM": CALLERS - 1}


def test_control_without_the_condition_several_win(tables: dict[str, str]) -> None:
    worklist = service(tables, Unguarded)
    assert any(create_at_once(worklist)["done"] > 1 for _ in range(5))


def test_of_many_claims_one_wins(tables: dict[str, str]) -> None:
    worklist = service(tables)
    study = worklist.create(new_workitem()).study_instance_uid
    found = outcomes(8, lambda: worklist.change_state(study, {"State": IN_PROGRESS}))
    assert found == {"done": 1, "ILLEGAL_TRANSITION": 7}
