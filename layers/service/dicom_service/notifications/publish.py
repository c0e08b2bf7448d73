"""Publishes pending events: assigns their positions in the feed, puts them on the bus, removes them from the outbox.

Any step may be repeated. A position is assigned once (the same transaction writes it to the pending entry); an entry
that has one is put on the bus again under the same id and position; an entry that is gone was on the bus already.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from dicom_service import aws, log
from dicom_service.errors import Unavailable
from dicom_service.isolation import UnexpectedError, isolate
from dicom_service.notifications.feed import COUNTER, feed_key
from dicom_service.notifications.message import Notification
from dicom_service.outbox import PENDING, PENDING_SHARDS, pending_shard
from dicom_service.settings import setting

logger = log.get_logger()

# A transaction has 100 items at most: the counter, and two for each event.
_CHUNK = 49
# Transactions that lose against another publisher's are tried again.
_ATTEMPTS = 30
_NOT_WRITABLE = "The feed cannot be written."


@dataclass(frozen=True)
class PublishSettings:
    """The table of events, the bus, and how long the feed keeps events."""

    table: str = setting("EXAM_EVENTS_TABLE")
    bus: str = setting("EVENT_BUS")
    retention_days: int = setting("EVENT_RETENTION_DAYS", cast=int, default=400)


@dataclass(frozen=True)
class Pending:
    """An event in the outbox, not published yet."""

    event_id: str
    detail_type: str
    detail: Mapping[str, Any]
    created_at: int

    @classmethod
    def from_item(cls, item: Mapping[str, Any]) -> "Pending":
        """Read an item of the outbox, from the table or its stream."""
        values = aws.from_item(item)
        return cls(values["sequence"], values["detailType"], json.loads(values["detail"]), values["createdAt"])

    def at_position(self, position: int) -> Notification:
        """Return the event at its position in the feed."""
        return Notification(self.event_id, self.detail_type, self.detail, self.created_at, position)


class Publisher:
    """Brings events from the outbox to the feed and the bus.

    Parameters
    ----------
    settings
        Table, bus, retention.
    clock
        Seconds since the epoch.
    """

    def __init__(self, settings: PublishSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock

    def publish(self, entries: Sequence[Pending]) -> set[str]:
        """Publish events of the outbox.

        Returns
        -------
        set of str
            Ids of the events that could not be published; publish them again.
        """
        unique = list({entry.event_id: entry for entry in entries}.values())
        failed: set[str] = set()
        for start in range(0, len(unique), _CHUNK):
            notifications, impossible = self._assign_each(unique[start : start + _CHUNK])
            rejected = self._put_on_bus(notifications)
            published = [each.event_id for each in notifications if each.event_id not in rejected]
            self._remove_from_outbox(published)
            failed |= impossible | rejected
        return failed

    def _assign_each(self, entries: list[Pending]) -> tuple[list[Notification], set[str]]:
        """Assign positions; one by one where it fails for all. Also return the ids of those that fail alone."""
        try:
            return isolate(partial(self._assign, entries)), set()
        except (UnexpectedError, aws.Rejected) as error:
            if len(entries) == 1:
                described = {"eventId": entries[0].event_id, **log.describe(error)}
                logger.error("an event cannot be published", extra=described)
                return [], {entries[0].event_id}
        notifications: list[Notification] = []
        impossible: set[str] = set()
        for entry in entries:
            one, failed = self._assign_each([entry])
            notifications += one
            impossible |= failed
        return notifications, impossible

    def leftovers(self, older_than: float) -> list[Pending]:
        """Return the events that have been in the outbox for more than `older_than` seconds, the oldest first."""
        newest = int((self._clock() - older_than) * 1000)
        found: list[Pending] = []
        for shard in PENDING_SHARDS:
            with aws.errors("The outbox cannot be read."):
                items = aws.query(
                    TableName=self._settings.table,
                    KeyConditionExpression="#shard = :shard",
                    ExpressionAttributeNames={"#shard": "shard"},
                    FilterExpression="createdAt <= :newest",
                    ExpressionAttributeValues=aws.to_item({":shard": shard, ":newest": newest}),
                    ConsistentRead=True,
                )
                found += [entry for item in items if (entry := _readable(item))]
        return sorted(found, key=lambda entry: entry.created_at)

    def _assign(self, entries: list[Pending]) -> list[Notification]:
        """Assign each event a position, or find the one that it was assigned before."""
        found: list[Notification] = []
        for _ in aws.tries(_ATTEMPTS):
            if not entries:
                return found
            head = self._head()
            try:
                with aws.errors(_NOT_WRITABLE):
                    self._commit(entries, head)
            except aws.ConditionFailed as failed:
                # Item 0 is the counter; of the two items of each entry the second fails if it has a position.
                before = [entry for number, entry in enumerate(entries) if 2 * number + 2 in failed.positions]
                entries = [entry for entry in entries if entry not in before]
                found += [notification for entry in before for notification in self._assigned_before(entry)]
                continue
            return found + [entry.at_position(head + number) for number, entry in enumerate(entries, 1)]
        raise Unavailable(_NOT_WRITABLE)

    def _commit(self, entries: list[Pending], head: int) -> None:
        now = int(self._clock() * 1000)
        table = self._settings.table
        counter: dict[str, Any] = {
            "TableName": table,
            "Key": aws.to_item(COUNTER),
            "UpdateExpression": "SET #position = :new",
            "ConditionExpression": "#position = :old" if head else "attribute_not_exists(#position)",
            "ExpressionAttributeNames": {"#position": "position"},
            "ExpressionAttributeValues": aws.to_item({":new": head + len(entries), ":old": head if head else None}),
        }
        items: list[dict[str, Any]] = [{"Update": counter}]
        for position, entry in enumerate(entries, head + 1):
            feed_entry = {
                **feed_key(position),
                "position": position,
                "eventId": entry.event_id,
                "detailType": entry.detail_type,
                "detail": json.dumps(entry.detail, separators=(",", ":"), ensure_ascii=False),
                "createdAt": entry.created_at,
                "sequencedAt": now,
                "expiresAt": now // 1000 + self._settings.retention_days * 86_400,
            }
            assignment = {
                "TableName": table,
                "Key": aws.to_item(_pending_key(entry.event_id)),
                "UpdateExpression": "SET #position = :position",
                "ConditionExpression": "attribute_exists(#shard) AND attribute_not_exists(#position)",
                "ExpressionAttributeNames": {"#shard": "shard", "#position": "position"},
                "ExpressionAttributeValues": aws.to_item({":position": position}),
            }
            items += [{"Put": {"TableName": table, "Item": aws.to_item(feed_entry)}}, {"Update": assignment}]
        aws.transact(items)

    def _head(self) -> int:
        item = self._get(COUNTER)
        return int(item["position"]) if item else 0

    def _assigned_before(self, entry: Pending) -> list[Notification]:
        item = self._get(_pending_key(entry.event_id))
        return [entry.at_position(item["position"])] if item and "position" in item else []

    @aws.errors("The feed cannot be read.")
    def _get(self, key: Mapping[str, str]) -> dict[str, Any] | None:
        return aws.get(self._settings.table, key)

    def _put_on_bus(self, notifications: list[Notification]) -> set[str]:
        rejected = aws.put_events([notification.bus_entry(self._settings.bus) for notification in notifications])
        return {notifications[number].event_id for number in rejected}

    def _remove_from_outbox(self, event_ids: list[str]) -> None:
        """Delete the pending entries of published events; one that stays is only published again."""
        keys = [aws.to_item(_pending_key(event_id)) for event_id in event_ids]
        with aws.tolerated("published events stay in the outbox"):
            aws.batch_write(self._settings.table, [{"DeleteRequest": {"Key": key}} for key in keys])


def read_stream(event: Mapping[str, Any]) -> tuple[list[tuple[str, Pending]], list[str]]:
    """Read the new outbox entries of a batch of the table's stream.

    Returns
    -------
    tuple
        The entries, each with its sequence number in the stream, and the sequence numbers of unreadable ones.
    """
    entries, unreadable = [], []
    for record in event["Records"]:
        change = record["dynamodb"]
        image = change.get("NewImage", {})
        if record["eventName"] == "INSERT" and image.get("shard", {}).get("S", "").startswith(PENDING):
            if entry := _readable(image):
                entries.append((change["SequenceNumber"], entry))
            else:
                unreadable.append(change["SequenceNumber"])
    return entries, unreadable


def publish_stream(publisher: Publisher, event: Mapping[str, Any]) -> dict[str, Any]:
    """Publish a batch of the stream; return the records to be delivered again (partial batch response)."""
    entries, unreadable = read_stream(event)
    try:
        failed = publisher.publish([entry for _, entry in entries])
    except Unavailable as error:
        logger.error("events wait in the outbox", extra=log.describe(error))
        failed = {entry.event_id for _, entry in entries}
    again = {number for number, entry in entries if entry.event_id in failed} | set(unreadable)
    numbers = [record["dynamodb"]["SequenceNumber"] for record in event["Records"]]
    return {"batchItemFailures": [{"itemIdentifier": number} for number in numbers if number in again]}


def sweep(publisher: Publisher, older_than: float = 120.0) -> dict[str, int]:
    """Publish events older than `older_than` seconds that the stream gave up; return how many there were and failed."""
    entries = publisher.leftovers(older_than)
    failed = publisher.publish(entries)
    if entries:
        logger.warning("published what the stream had left", extra={"found": len(entries), "failed": len(failed)})
    return {"found": len(entries), "failed": len(failed)}


def _readable(item: Mapping[str, Any]) -> Pending | None:
    """Read an item of the outbox; None, with an error in the log, where it cannot be read."""
    try:
        return isolate(partial(Pending.from_item, item))
    except UnexpectedError:
        return None


def _pending_key(event_id: str) -> dict[str, str]:
    return {"shard": pending_shard(event_id), "sequence": event_id}
