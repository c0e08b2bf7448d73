"""Listing workitems: what a page of 100 reads and takes among many, beside among 1,000.

Runs in this process on the DynamoDB of a MiniStack of its own, whatever else is up.
`WORKITEMS=100000` seeds as many as a large hospital has in some years; it takes
minutes, as the stack's DynamoDB is a small one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import boto3

from benchmarks.servers import WorkNotDone, running
from benchmarks.table import Row, pairs
from dicom_service import aws
from dicom_service.outbox import Outbox, OutboxSettings
from dicom_service.worklist.dynamodb import DynamoWorklist
from dicom_service.worklist.store import Row as TableRow
from dicom_service.worklist.store import WorkitemStore, to_item
from dicomweb.worklist.base import COMPLETED, IN_PROGRESS, SCHEDULED, Query, Workitem
from tests.support.template import create_table

FEW = 1_000
MANY = int(os.environ.get("WORKITEMS", "10000"))
LIMIT = 100
ROUNDS = 60
# MiniStack sorts all that has the index's key before it gives a page, which DynamoDB does not: the time of this query
# is the emulator's, so it is shown without an aim. What is read is the same on both.
MOST_OF_THE_TABLE = Query(state=SCHEDULED)
QUERIES = {
    "patient": Query(patient_id="P0"),
    "station and day": Query(station="ST0", start="20261122", end="20261122"),
    "state, in progress": Query(state=IN_PROGRESS),
    "state, most of all": MOST_OF_THE_TABLE,
}


def measure() -> Iterator[Row]:
    """Return, for each way to list, the items read for a page of 100 and its time beside a small table's."""
    with running():
        yield from _rows()


def _rows() -> Iterator[Row]:
    few, many = _seeded(FEW), _seeded(MANY)
    for name, query in QUERIES.items():
        _check_matches(many, name, query)
        _check_matches(few, name, query)
        read, calls = _cost(many, query)
        yield Row(f"worklist: items read, 100 of {MANY:,} by {name}", "items given", read, "items", aim=LIMIT)
        yield Row(f"worklist: calls, 100 of {MANY:,} by {name}", "one Query", calls, "calls", aim=1)
        timed = pairs(partial(_page, many, query), partial(_page, few, query), rounds=ROUNDS, warm_up=5)
        aim = None if query == MOST_OF_THE_TABLE else 1.5
        yield timed.row(f"worklist: 100 of {MANY:,} by {name}, p50", f"100 of {FEW:,}", aim=aim)


def _page(worklist: DynamoWorklist, query: Query) -> None:
    if len(worklist.search(query, limit=LIMIT).items) != LIMIT:
        raise WorkNotDone("a page is not full; what was measured is not a page of 100")


def _check_matches(worklist: DynamoWorklist, name: str, query: Query) -> None:
    """Compare a page with the query itself: a page of anything else would be as fast."""
    found = worklist.search(query, limit=LIMIT).items
    right = {workitem.workitem_uid for workitem in found if _matches(workitem, query)}
    if len(right) != LIMIT:
        raise WorkNotDone(f"a page by {name} has {len(right)} of {LIMIT} different workitems that match")


def _matches(workitem: Workitem, query: Query) -> bool:
    fields = workitem.fields
    day = fields["ScheduledProcedureStepStartDate"]
    return (
        query.patient_id in (None, fields["PatientID"])
        and query.station in (None, fields["ScheduledStationAETitle"])
        and query.state in (None, workitem.state)
        and (query.start or day) <= day <= (query.end or day)
    )


def _cost(worklist: DynamoWorklist, query: Query) -> tuple[int, int]:
    """Return the items that DynamoDB says it read for a page, and the calls it took."""
    read: list[int] = []

    def count(parsed: dict[str, Any], **_: Any) -> None:
        read.append(parsed["ScannedCount"])

    events = aws.dynamodb().meta.events
    events.register("after-call.dynamodb", count)
    _page(worklist, query)
    events.unregister("after-call.dynamodb", count)
    return sum(read), len(read)


def _seeded(number: int) -> DynamoWorklist:
    """Make a table as it is deployed, with so many workitems: 150 match the patient, the day, the state."""
    client = boto3.client("dynamodb")
    name = create_table(client, "WorkitemsTable", f"Workitems-{number}-{time.time_ns()}")
    items = [to_item(TableRow(_workitem(each), version=1)) for each in range(number)]

    def put(start: int) -> None:
        batch: Any = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
        client.batch_write_item(RequestItems={name: batch})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(0, number, 25)))
    return DynamoWorklist(WorkitemStore(name, Outbox(OutboxSettings("unused"))))


def _workitem(number: int) -> Workitem:
    matches = number < 150
    fields = {
        "PatientID": "P0" if matches else f"P{number}",
        "PatientName": "ROSSI^MARIO",
        "AccessionNumber": f"A{number}",
        "Modality": "CT",
        "ScheduledStationAETitle": "ST0" if matches else f"ST{1 + number % 20}",
        "ScheduledProcedureStepStartDate": "20261122" if matches else f"2027{1 + number % 12:02}{1 + number % 28:02}",
        "ScheduledProcedureStepStartTime": f"{number % 24:02}{number % 60:02}",
        "ScheduledProcedureStepDescription": "CT head",
        "ScheduledProcedureStepID": f"SPS{number}",
    }
    state = IN_PROGRESS if matches else SCHEDULED if number % 4 else COMPLETED
    return Workitem(f"1.2.{number}", f"1.3.{number}", fields, state)
