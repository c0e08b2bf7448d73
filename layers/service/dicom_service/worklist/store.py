"""The Workitems table: one row a workitem, with sparse indexes for the filters.

A row of a workitem that is kept here carries the index attributes, so that it is found by patient, accession number,
station, modality or state, each in order of its scheduled start. A row that only accompanies a workitem at the PACS
carries none, and is found by its study alone. No filter ever scans the table.

Every write is conditional on the version of the row that was read, and takes its event with it in one transaction.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dicom_service import aws
from dicom_service.errors import Unavailable
from dicom_service.outbox import Event, Outbox
from dicomweb.worklist.base import Workitem

KEY = "StudyInstanceUID"
SCHEDULE = "ixSchedule"
PENDING_INDEX = "by-pending"
PENDING_KEY = "ixPending"
_PENDING_SINCE = "ixPendingSince"
_ATTEMPTS = 6
_BATCH = 100


class Outdated(Exception):
    """The row has changed since it was read; read it again and decide anew."""


@dataclass(frozen=True)
class Pending:
    """What is being done at the PACS, and not yet known to be done.

    Parameters
    ----------
    operation
        ``create``, ``update``, ``state`` or ``delete``.
    since
        Seconds since the epoch.
    fields
        For ``update``: the fields as they shall be.
    state
        For ``state``: the one to reach.
    """

    operation: str
    since: int
    fields: Mapping[str, str] | None = None
    state: str | None = None


@dataclass(frozen=True)
class Row:
    """A workitem as the table knows it.

    Parameters
    ----------
    item
        The workitem.
    version
        Grows with each write; 0 for a row that is not written yet.
    listed
        True when searches of this table find it.
    deleted
        True when it only remembers that the PACS still holds, canceled, what was deleted here.
    pending
        What is under way at the PACS.
    """

    item: Workitem
    version: int = 0
    listed: bool = True
    deleted: bool = False
    pending: Pending | None = None


class WorkitemStore:
    """Reads and writes rows.

    Parameters
    ----------
    table
        Name of the Workitems table.
    outbox
        Where the events go.
    sleep
        Waits between attempts when two writers meet.
    """

    def __init__(self, table: str, outbox: Outbox, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.table = table
        self._outbox = outbox
        self._sleep = sleep

    def read(self, study_instance_uid: str) -> Row | None:
        """Give the row of a study as it is now, None when there is none.

        Raises
        ------
        Unavailable
            The table cannot be read.
        """
        with store_errors():
            found = aws.dynamodb().get_item(TableName=self.table, Key=_key(study_instance_uid), ConsistentRead=True)
        return from_item(found["Item"]) if "Item" in found else None

    def read_many(self, study_instance_uids: Iterable[str]) -> dict[str, Row]:
        """Give the rows that there are for some studies.

        Raises
        ------
        Unavailable
            The table cannot be read.
        """
        wanted = sorted(set(study_instance_uids))
        rows: dict[str, Row] = {}
        for start in range(0, len(wanted), _BATCH):
            keys: Any = [_key(study) for study in wanted[start : start + _BATCH]]
            while keys:
                with store_errors():
                    found = aws.dynamodb().batch_get_item(RequestItems={self.table: {"Keys": keys}})
                for item in found["Responses"].get(self.table, []):
                    row = from_item(item)
                    rows[row.item.study_instance_uid] = row
                unprocessed: Any = found.get("UnprocessedKeys") or {}
                keys = unprocessed.get(self.table, {}).get("Keys")
        return rows

    def write(self, row: Row, events: Sequence[Event] = ()) -> Row:
        """Put a row in place of the version it was made from, together with its events.

        Raises
        ------
        Outdated
            The row was changed, removed or made by someone else meanwhile.
        Unavailable
            The table does not take it.
        """
        written = replace(row, version=row.version + 1)
        self._transact({"Put": {"TableName": self.table, "Item": to_item(written), **_condition(row)}}, events)
        return written

    def remove(self, row: Row, events: Sequence[Event] = ()) -> None:
        """Remove a row in the version that was read, together with its events.

        Raises
        ------
        Outdated
            The row was changed meanwhile.
        Unavailable
            The table does not take it.
        """
        key = _key(row.item.study_instance_uid)
        self._transact({"Delete": {"TableName": self.table, "Key": key, **_condition(row)}}, events)

    def unsettled(self, before: int) -> Iterator[str]:
        """Yield the studies whose rows have been pending since before some second.

        Raises
        ------
        Unavailable
            The table cannot be read.
        """
        start: Any = None
        while True:
            query: dict[str, Any] = {
                "TableName": self.table,
                "IndexName": PENDING_INDEX,
                "KeyConditionExpression": f"{PENDING_KEY} = :yes AND {_PENDING_SINCE} < :before",
                "ExpressionAttributeValues": aws.to_item({":yes": "yes", ":before": before}),
            }
            if start:
                query["ExclusiveStartKey"] = start
            with store_errors():
                found = aws.dynamodb().query(**query)
            for item in found["Items"]:
                yield str(aws.from_item(item)[KEY])
            start = found.get("LastEvaluatedKey")
            if not start:
                return

    def _transact(self, state: dict[str, Any], events: Sequence[Event]) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                with store_errors():
                    self._outbox.write(events, [state])
            except _Contended:
                self._sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - not for security
            else:
                return
        raise Unavailable("Too many change this workitem at once; try again.")


class _Contended(Exception):
    """Another transaction holds the row at this moment."""


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn what DynamoDB answers into this service's errors.

    Raises
    ------
    Outdated
        A condition did not hold.
    Unavailable
        Anything else that stopped the call.
    """
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
        if code == "ConditionalCheckFailedException" or "ConditionalCheckFailed" in reasons:
            raise Outdated("the row has changed") from error
        if code == "TransactionConflictException" or "TransactionConflict" in reasons:
            raise _Contended("another transaction is under way") from error
        raise Unavailable("The worklist cannot be reached at the moment; try again.") from error
    except BotoCoreError as error:
        raise Unavailable("The worklist cannot be reached at the moment; try again.") from error


def to_item(row: Row) -> dict[str, Any]:
    """Give the DynamoDB item of a row."""
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
    values = aws.from_item(item)
    pending = None
    if PENDING_KEY in values:
        pending = Pending(
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


def _key(study_instance_uid: str) -> dict[str, Any]:
    return aws.to_item({KEY: study_instance_uid})


def _condition(row: Row) -> dict[str, Any]:
    if row.version == 0:
        return {"ConditionExpression": f"attribute_not_exists({KEY})"}
    return {
        "ConditionExpression": "#version = :version",
        "ExpressionAttributeNames": {"#version": "Version"},
        "ExpressionAttributeValues": aws.to_item({":version": row.version}),
    }
