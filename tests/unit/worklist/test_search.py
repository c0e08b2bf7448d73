"""Lists of the service's own worklist: what they read, counted at the wire."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from dicom_service import aws
from dicom_service.outbox import Outbox, OutboxSettings
from dicom_service.worklist import search as search_module
from dicom_service.worklist.dynamodb import DynamoWorklist
from dicom_service.worklist.store import Row, WorkitemStore, to_item
from dicomweb.worklist.base import COMPLETED, IN_PROGRESS, SCHEDULED, Query, Workitem

MANY = 600
LIMIT = 100


@dataclass
class Wire:
    """Counts what is sent to DynamoDB and what it says it read."""

    calls: Counter[str] = field(default_factory=Counter)
    scanned: int = 0

    def sent(self, model: Any, **_: Any) -> None:
        self.calls[model.name] += 1

    def received(self, parsed: dict[str, Any], **_: Any) -> None:
        self.scanned += parsed.get("ScannedCount", 0)


@pytest.fixture
def worklist(cloud: None) -> DynamoWorklist:
    client = boto3.client("dynamodb")
    items = [to_item(Row(item, version=1)) for item in map(_workitem, range(MANY))]
    for start in range(0, MANY, 25):
        requests: Any = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
        client.batch_write_item(RequestItems={"WorkitemsTable": requests})
    return DynamoWorklist(WorkitemStore("WorkitemsTable", Outbox(OutboxSettings("ExamEventsTable"))))


@pytest.fixture
def wire(worklist: DynamoWorklist) -> Iterator[Wire]:
    counted = Wire()
    events = aws.dynamodb().meta.events
    events.register("before-call.dynamodb", counted.sent)
    events.register("after-call.dynamodb", counted.received)
    yield counted


def _workitem(number: int) -> Workitem:
    fields = {
        "PatientID": f"P{number % 3}",
        "AccessionNumber": f"A{number}",
        "Modality": ("CT", "MR")[number % 2],
        "ScheduledStationAETitle": f"ST{number % 2}",
        "ScheduledProcedureStepStartDate": f"202611{1 + number % 4:02}",
        "ScheduledProcedureStepStartTime": f"{number % 24:02}{number % 60:02}",
        "PatientName": "ROSSI^MARIO",
    }
    return Workitem(f"1.2.{number}", f"1.3.{number}", fields, (SCHEDULED, IN_PROGRESS)[number % 5 == 0])


QUERIES = {
    "patient": Query(patient_id="P1"),
    "station and day": Query(station="ST1", start="20261102", end="20261102"),
    "state": Query(state=SCHEDULED),
    "modality from a day on": Query(modality="MR", start="20261103"),
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_page_reads_no_more_than_it_returns(worklist: DynamoWorklist, wire: Wire, query: Query) -> None:
    # GIVEN many workitems WHEN a hundred are listed THEN a hundred are read, by a query and never by a scan
    page = worklist.search(query, limit=LIMIT)
    assert len(page.items) == LIMIT
    assert wire.scanned == LIMIT
    assert wire.calls == {"Query": 1}


def test_without_a_filter_no_more_than_a_page_of_each_state_is_read(worklist: DynamoWorklist, wire: Wire) -> None:
    page = worklist.search(Query(), limit=LIMIT)
    assert len(page.items) == LIMIT
    assert wire.scanned <= 4 * LIMIT
    assert set(wire.calls) == {"Query"}


def test_a_second_filter_reads_within_its_budget(worklist: DynamoWorklist, wire: Wire) -> None:
    # GIVEN a second filter that drops everything WHEN it is listed THEN reading ends, with a cursor to go on from
    page = worklist.search(Query(modality="CT", state=COMPLETED), limit=10)
    assert page.items == []
    assert page.cursor is not None
    assert wire.scanned <= search_module.READ_BUDGET * 10
    assert set(wire.calls) == {"Query"}


@pytest.mark.parametrize("query", [*QUERIES.values(), Query(), Query(state=SCHEDULED, modality="CT")])
def test_pages_join_in_order_without_gap_or_repetition(worklist: DynamoWorklist, query: Query) -> None:
    expected = sorted(
        (item for item in map(_workitem, range(MANY)) if query.matches(item)), key=lambda each: each.schedule
    )
    found: list[str] = []
    cursor = None
    while True:
        page = worklist.search(query, limit=85, cursor=cursor)
        found += [item.study_instance_uid for item in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert found == [item.study_instance_uid for item in expected]


def test_no_call_of_this_package_scans() -> None:
    sources = list(Path(search_module.__file__).parent.glob("*.py"))
    assert len(sources) >= 10
    assert [source.name for source in sources if scans(source.read_text())] == []


def scans(source: str) -> bool:
    """Return whether code names the operation, as a method or as what a paginator or a generic call is given."""
    nodes = list(ast.walk(ast.parse(source)))
    methods = [node.attr for node in nodes if isinstance(node, ast.Attribute)]
    strings = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return "scan" in (name.lower() for name in (*methods, *strings))


@pytest.mark.parametrize(
    "source", ["client.scan(TableName='x')", "client.get_paginator('scan')", "call('Scan', x=1)", "read = client.scan"]
)
def test_a_call_that_scans_is_seen(source: str) -> None:
    assert scans(source)
