"""The change feed: all notifications in the order of their positions, read with a cursor that never skips one.

Positions are assigned in a transaction that moves the counter from n to n+k, so none is committed after a higher one. A
query that runs while such a transaction commits may still see its later items and not its earlier ones (DynamoDB
isolates items, not queries): positions have no gaps, so the reader stops at the first gap.
"""

import base64
import binascii
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from dicom_service import aws
from dicom_service.errors import BadRequest, Conflict
from dicom_service.notifications.message import Notification
from dicom_service.settings import setting

# Positions a partition: all reads and writes of the feed would otherwise have the throughput of one partition.
BLOCK = 10_000
# Stands for the cursor behind the newest notification.
NEWEST = "newest"
COUNTER = {"shard": "COUNTER", "sequence": "feed"}
# In ms. Commits take milliseconds: a gap before an older entry was left by expiry, not by a commit under way.
_SETTLED = 3600_000
# Bytes; a function's answer has 6 MB at most.
_LARGEST_PAGE = 4_000_000
_UNREADABLE = "The events cannot be read at the moment; try again."
_CURSOR = re.compile(r"v1\.([0-9]{1,15})")


@dataclass(frozen=True)
class FeedSettings:
    """Where the feed is."""

    table: str = setting("EXAM_EVENTS_TABLE")


@dataclass(frozen=True)
class Page:
    """Notifications in order, and the cursor behind the last of them."""

    notifications: list[Notification]
    next: str


def feed_key(position: int) -> dict[str, str]:
    """Return the key of a position in the feed."""
    return {"shard": f"FEED#{(position - 1) // BLOCK:010d}", "sequence": f"{position:016d}"}


def write_cursor(position: int) -> str:
    """Return the cursor behind a position."""
    return base64.urlsafe_b64encode(f"v1.{position}".encode()).decode().rstrip("=")


def read_cursor(text: str) -> int:
    """Return the position of a cursor that `write_cursor` made.

    Raises
    ------
    BadRequest
        The text is not a cursor.
    """
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise _bad_cursor() from error
    match = _CURSOR.fullmatch(plain)
    if match is None:
        raise _bad_cursor()
    return int(match[1])


class Feed:
    """Reads the change feed.

    Parameters
    ----------
    settings
        The table.
    clock
        Seconds since the epoch.
    """

    def __init__(self, settings: FeedSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._table = settings.table
        self._clock = clock

    def read(self, after: str | None, limit: int) -> Page:
        """Return the notifications behind a cursor, oldest first.

        Parameters
        ----------
        after
            The cursor of an earlier page, None to begin with the oldest notification that is kept, or `NEWEST` for
            an empty page whose cursor is behind all of them.
        limit
            How many at most; fewer where they are long.

        Raises
        ------
        BadRequest
            The text is not a cursor.
        Conflict
            The cursor is beyond the newest event: it is of another feed, or of this one before it was restored. Its
            reader would skip all events until the feed has grown past it.
        """
        head = self._head()
        start = head if after == NEWEST else read_cursor(after) if after else 0
        if start > head:
            problem = [{"field": "after", "problem": "beyond the newest event"}]
            raise Conflict("after is beyond the newest event of this feed.", code="CURSOR_BEYOND_FEED", errors=problem)
        found: list[Notification] = []
        position, size = start, 0
        for item in self._items(start, limit, head):
            settled = item["sequencedAt"] < self._clock() * 1000 - _SETTLED
            size += len(item["detail"].encode())
            if size > _LARGEST_PAGE or (item["position"] != position + 1 and not settled):
                break
            position = item["position"]
            found.append(_notification(item))
        return Page(found, write_cursor(position))

    def _items(self, after: int, limit: int, head: int) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        block, last = after // BLOCK, (head - 1) // BLOCK
        while head > after and block <= last and len(items) < limit:
            page = self._query(block, after, limit - len(items))
            if not page and not items and block < last:
                block = self._oldest(block + 1, last)
                continue
            items += page
            block += 1
        return items

    def _oldest(self, block: int, last: int) -> int:
        """Return the first block that still has entries; expiry empties them in order."""
        while block < last:
            middle = (block + last) // 2
            block, last = (block, middle) if self._query(middle, 0, 1) else (middle + 1, last)
        return block

    @aws.errors(_UNREADABLE)
    def _head(self) -> int:
        counter = aws.get(self._table, COUNTER)
        return int(counter["position"]) if counter else 0

    @aws.errors(_UNREADABLE)
    def _query(self, block: int, after: int, limit: int) -> list[dict[str, Any]]:
        found = aws.query(
            TableName=self._table,
            KeyConditionExpression="#shard = :shard AND #sequence > :after",
            ExpressionAttributeNames={"#shard": "shard", "#sequence": "sequence"},
            ExpressionAttributeValues=aws.to_item({":shard": f"FEED#{block:010d}", ":after": f"{after:016d}"}),
            ConsistentRead=True,
            Limit=limit,
        )
        return [aws.from_item(item) for item in islice(found, limit)]


def _notification(item: dict[str, Any]) -> Notification:
    detail = json.loads(item["detail"])
    return Notification(item["eventId"], item["detailType"], detail, item["createdAt"], item["position"])


def _bad_cursor() -> BadRequest:
    problem = [{"field": "after", "problem": "not a cursor of this feed"}]
    return BadRequest("after is not a cursor that GET /events returned.", code="INVALID_CURSOR", errors=problem)
