"""The outbox: an event is written in the same transaction as the state it tells of (architecture.md, "Flows").

Nothing is announced that is not stored, and nothing stored goes unannounced: the stream of the ExamEvents table hands
each entry to `publish_event`, which puts it on the bus.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dicom_service import aws
from dicom_service.settings import setting

PENDING = "PENDING"


@dataclass(frozen=True)
class OutboxSettings:
    """Where events are written."""

    table: str = setting("EXAM_EVENTS_TABLE")


@dataclass(frozen=True)
class Event:
    """Something that happened, to be told to whoever listens.

    Parameters
    ----------
    detail_type
        EventBridge detail-type, such as ``Exam Uploaded`` (api.md, "Notifications").
    detail
        Ids, counts and codes; never a name, a date of birth or free text of a dataset.
    event_id
        Stable id: the same on every delivery, so that receivers can tell a repetition.
    """

    detail_type: str
    detail: Mapping[str, Any]
    event_id: str = field(default_factory=lambda: uuid.uuid4().hex)


class Outbox:
    """Writes events together with the state they tell of."""

    def __init__(self, settings: OutboxSettings) -> None:
        self._table = settings.table

    def entry(self, event: Event) -> dict[str, Any]:
        """Give the event as one entry of ``TransactItems``."""
        item = {
            "shard": PENDING,
            "sequence": event.event_id,
            "detailType": event.detail_type,
            "detail": dict(event.detail),
            "createdAt": int(time.time() * 1000),
        }
        return {"Put": {"TableName": self._table, "Item": aws.to_item(item)}}

    def write(self, events: Sequence[Event], state: Sequence[Mapping[str, Any]] = ()) -> None:
        """Write `state` (entries of ``TransactItems``) and `events` in one transaction, all or nothing.

        Raises
        ------
        botocore.exceptions.ClientError
            ``TransactionCanceledException`` when a condition in `state` does not hold.
        """
        entries = [*state, *(self.entry(event) for event in events)]
        aws.dynamodb().transact_write_items(TransactItems=entries)  # type: ignore[arg-type]
