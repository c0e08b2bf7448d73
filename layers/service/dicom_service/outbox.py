"""The outbox: events are written in the same transaction as the state that they report (architecture.md, "Flows").

Nothing is published that is not stored, and everything stored is published: the stream of the ExamEvents table brings
each entry to `publish_event`, which assigns its position in the feed and puts it on the bus. Entries have no position
before, so writers share no counter (docs/decisions/0005-sequence-events-when-published.md).

=================================  ==============================================================================
item of ExamEvents                 holds
=================================  ==============================================================================
``PENDING#<0–f>``, event id        an event that is written and not yet on the bus
``FEED#<block>``, position         the change feed, 10,000 positions a block (`dicom_service.notifications.feed`)
``COUNTER``, ``feed``              the last position assigned
``ENDPOINT``, SHA-256 of the URL   a webhook that is switched off (`dicom_service.notifications.webhooks`)
``ERASURE``, whom, hashed          what an erasure has found and not yet erased (`dicom_service.erasure.plan`)
=================================  ==============================================================================
"""

import json
import time
import uuid
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dicom_service import aws
from dicom_service.settings import setting

PENDING = "PENDING#"
PENDING_SHARDS = tuple(f"{PENDING}{digit:x}" for digit in range(16))
# Standard Webhooks asks for bodies below 20 kB; anything beyond ids and counts is read from the API.
LARGEST_DETAIL = 16_000


@dataclass(frozen=True)
class OutboxSettings:
    """Where events are written."""

    table: str = setting("EXAM_EVENTS_TABLE")


@dataclass(frozen=True)
class Event:
    """Something that happened, to be published.

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
    """Writes events together with the state that they report."""

    def __init__(self, settings: OutboxSettings) -> None:
        self._table = settings.table

    def entry(self, event: Event) -> dict[str, Any]:
        """Return the event as one entry of ``TransactItems``; a detail that is too long is cut (`fitted`)."""
        detail = _dump(fitted(event.detail))
        item = {
            "shard": pending_shard(event.event_id),
            "sequence": event.event_id,
            "detailType": event.detail_type,
            "detail": detail,
            "createdAt": int(time.time() * 1000),
        }
        return {"Put": {"TableName": self._table, "Item": aws.to_item(item)}}

    def write(self, events: Sequence[Event], state: Sequence[Mapping[str, Any]] = ()) -> None:
        """Write `state` (entries of ``TransactItems``) and `events` in one transaction, all or nothing.

        The caller says what its failure means (`dicom_service.aws.errors`).
        """
        aws.transact([*state, *(self.entry(event) for event in events)])


def fitted(detail: Mapping[str, Any], largest: int = LARGEST_DETAIL) -> dict[str, Any]:
    """Return a detail that is short enough to be sent, with ``truncated: true`` where it was cut.

    The longest value is cut first: a list to its first half, a text to nothing, since half an identifier may be
    another's. An event is a hint to look: counts and UIDs are short and stay.
    """
    values = dict(detail)
    while len(_dump(values).encode()) > largest:
        longest = max((name for name in values if name != "truncated"), key=lambda name: len(_dump(values[name])))
        value = values[longest]
        values[longest] = value[: len(value) // 2] if isinstance(value, list) else type(value)()
        values["truncated"] = True
    return values


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def pending_shard(event_id: str) -> str:
    """Return the partition in which an event waits; events are spread over all of them."""
    return PENDING_SHARDS[zlib.crc32(event_id.encode()) % len(PENDING_SHARDS)]
