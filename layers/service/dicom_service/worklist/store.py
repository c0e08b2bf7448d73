"""The Workitems table: one row per workitem, with sparse indexes for the filters.

A row of a workitem that is kept here has the index attributes, so that it is found by patient, accession number,
station, modality or state, in order of its scheduled start. A row that only accompanies a workitem at the PACS
has none, and is found by its study alone. No filter ever scans the table.

Every write is conditional on the version of the row that was read, and takes its event with it in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dicom_service import aws
from dicom_service.outbox import Event, Outbox
from dicomweb.worklist.base import Workitem

KEY = "StudyInstanceUID"
SCHEDULE = "ixSchedule"
PENDING_INDEX = "by-pending"
PENDING_KEY = "ixPending"
_PENDING_SINCE = "ixPendingSince"
UNREACHABLE = "The worklist cannot be reached at the moment; try again."


class Outdated(Exception):
    """The row has changed since it was read; read it again."""


@dataclass(frozen=True)
class PendingChange:
    """A change that was sent to the PACS, or is about to be, and is not confirmed yet.

    Parameters
    ----------
    operation
        ``create``, ``update``, ``state`` or ``delete``.
    since
        Seconds since the epoch.
    fields
        For ``update``: the fields after it.
    state
        For ``state``: the state after it.
    """

    operation: str
    since: int
    fields: Mapping[str, str] | None = None
    state: str | None = None


@dataclass(frozen=True)
class Row:
    """A workitem in the table.

    Parameters
    ----------
    item
        The workitem.
    version
        Grows with each write; 0 for a row that was never written.
    listed
        True when searches of this table find it.
    deleted
        True when the workitem was deleted here, but stays canceled at the PACS and must be hidden.
    pending
        The change at the PACS that is not confirmed yet.
    """

    item: Workitem
    version: int = 0
    listed: bool = True
    deleted: bool = False
    pending: PendingChange | None = None


class WorkitemStore:
    """Reads and writes rows; every method raises Unavailable where the table does not answer.

    Parameters
    ----------
    table
        Name of the Workitems table.
    outbox
        Takes the events, in the same transaction.
    """

    def __init__(self, table: str, outbox: Outbox) -> None:
        self.table = table
        self._outbox = outbox

    @aws.errors(UNREACHABLE)
    def read(self, study_instance_uid: str) -> Row | None:
        """Return the current row of a study, None when there is none."""
        values = aws.get(self.table, {KEY: study_instance_uid})
        return None if values is None else _row(values)

    @aws.errors(UNREACHABLE)
    def read_many(self, study_instance_uids: Iterable[str]) -> dict[str, Row]:
        """Return the rows of some studies, by study; those without a row are left out."""
        keys = [{KEY: study} for study in sorted(set(study_instance_uids))]
        return {values[KEY]: _row(values) for values in aws.batch_get(self.table, keys)}

    def write(self, row: Row, events: Sequence[Event] = ()) -> Row:
        """Write a row over the version that was read, together with its events."""
        written = replace(row, version=row.version + 1)
        self._transact({"Put": {"TableName": self.table, "Item": to_item(written), **_condition(row)}}, events)
        return written

    def remove(self, row: Row, events: Sequence[Event] = ()) -> None:
        """Remove a row in the version that was read, together with its events."""
        key = aws.to_item({KEY: row.item.study_instance_uid})
        self._transact({"Delete": {"TableName": self.table, "Key": key, **_condition(row)}}, events)

    def pending_since(self, before: int) -> Iterator[str]:
        """Yield the studies whose changes have been pending since before a time in seconds."""
        with aws.errors(UNREACHABLE):
            for item in aws.query(
                TableName=self.table,
                IndexName=PENDING_INDEX,
                KeyConditionExpression=f"{PENDING_KEY} = :yes AND {_PENDING_SINCE} < :before",
                ExpressionAttributeValues=aws.to_item({":yes": "yes", ":before": before}),
            ):
                yield str(aws.from_item(item)[KEY])

    def _transact(self, state: dict[str, Any], events: Sequence[Event]) -> None:
        try:
            with aws.errors(UNREACHABLE):
                self._outbox.write(events, [state])
        except aws.ConditionFailed as error:
            raise Outdated("the row has changed") from error


def to_item(row: Row) -> dict[str, Any]:
    """Return the DynamoDB item of a row."""
    item, pending = row.item, row.pending
    values = {
        KEY: item.study_instance_uid,
        "WorkitemUID": item.workitem_uid,
        "State": item.state,
        "Fields": dict(item.fields),
        "TransactionUID": item.transaction_uid,
        "Reference": item.reference,
        "Version": row.version,
        "Deleted": row.deleted or None,
        **(_index_attributes(item) if row.listed and not row.deleted else {}),
    }
    if pending:
        values |= {
            PENDING_KEY: "yes",
            _PENDING_SINCE: pending.since,
            "PendingOperation": pending.operation,
            "PendingFields": dict(pending.fields) if pending.fields is not None else None,
            "PendingState": pending.state,
        }
    return aws.to_item(values)


def from_item(item: Mapping[str, Any]) -> Row:
    """Read a row from its DynamoDB item."""
    return _row(aws.from_item(item))


def _row(values: Mapping[str, Any]) -> Row:
    pending = None
    if PENDING_KEY in values:
        pending = PendingChange(
            values["PendingOperation"],
            values[_PENDING_SINCE],
            values.get("PendingFields"),
            values.get("PendingState"),
        )
    return Row(
        item=Workitem(
            values[KEY],
            values["WorkitemUID"],
            values["Fields"],
            values["State"],
            values.get("TransactionUID"),
            values.get("Reference"),
        ),
        version=values["Version"],
        listed=SCHEDULE in values,
        deleted=values.get("Deleted", False),
        pending=pending,
    )


def _index_attributes(item: Workitem) -> dict[str, str]:
    return {
        "ixPatient": item.fields["PatientID"],
        "ixAccession": item.fields["AccessionNumber"],
        "ixStation": item.fields["ScheduledStationAETitle"],
        "ixModality": item.fields["Modality"],
        "ixState": item.state,
        SCHEDULE: item.schedule,
    }


def _condition(row: Row) -> dict[str, Any]:
    if row.version == 0:
        return {"ConditionExpression": f"attribute_not_exists({KEY})"}
    return {
        "ConditionExpression": "#version = :version",
        "ExpressionAttributeNames": {"#version": "Version"},
        "ExpressionAttributeValues": aws.to_item({":version": row.version}),
    }
