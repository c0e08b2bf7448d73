"""The change feed: a cursor never skips an event, however late it commits, and expiry does not stop a reader."""

import json
import time
from typing import Any

import pytest

from dicom_service import aws
from dicom_service.errors import BadRequest
from dicom_service.notifications import feed as feed_module
from dicom_service.notifications.feed import COUNTER, NEWEST, Feed, FeedSettings, feed_key, read_cursor, write_cursor
from tests.support.notifications import EVENTS

pytestmark = pytest.mark.usefixtures("cloud")

NOW = time.time()


def put(position: int, *, age: float = 0) -> None:
    item: dict[str, Any] = {
        **feed_key(position),
        "position": position,
        "eventId": f"e{position}",
        "detailType": "Exam Uploaded",
        "detail": json.dumps({"StudyInstanceUID": "1.2"}),
        "createdAt": 1_700_000_000_123,
        "sequencedAt": int((NOW - age) * 1000),
    }
    aws.dynamodb().put_item(TableName=EVENTS, Item=aws.to_item(item))


def head(position: int) -> None:
    aws.dynamodb().put_item(TableName=EVENTS, Item=aws.to_item({**COUNTER, "position": position}))


def read(after: str | None = None, limit: int = 100) -> tuple[list[int], str]:
    page = Feed(FeedSettings(EVENTS), clock=lambda: NOW).read(after, limit)
    return [entry.position for entry in page.notifications], page.next


def test_an_empty_feed() -> None:
    positions, cursor = read()
    assert positions == []
    assert read(cursor) == ([], cursor)


def test_who_asks_for_the_newest_hears_of_what_comes_from_now_on() -> None:
    for position in range(1, 4):
        put(position)
    head(3)
    assert read(NEWEST) == ([], write_cursor(3))
    put(4)
    head(4)
    assert read(write_cursor(3))[0] == [4]


def test_pages_follow_each_other_without_gap_or_repetition() -> None:
    # GIVEN seven events
    for position in range(1, 8):
        put(position)
    head(7)
    # WHEN they are read three at a time
    cursor, seen = None, []
    while True:
        positions, cursor = read(cursor, 3)
        if not positions:
            break
        seen += positions
    # THEN all are seen in order, and a new one behind them next time
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    put(8)
    head(8)
    assert read(cursor)[0] == [8]


def test_a_place_that_commits_late_is_not_skipped() -> None:
    # GIVEN a query that sees position 3 before position 2
    put(1)
    put(3)
    head(3)
    # WHEN it is read
    positions, cursor = read()
    # THEN it stops before the gap, and goes on once the gap is closed
    assert positions == [1]
    assert read(cursor)[0] == []
    put(2)
    assert read(cursor)[0] == [2, 3]


def test_the_stop_at_a_gap_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: a reader that takes every gap for expiry loses the late position."""
    monkeypatch.setattr(feed_module, "_SETTLED", -(10**9))
    put(1)
    put(3)
    head(3)
    positions, cursor = read()
    put(2)
    assert 2 not in positions + read(cursor)[0]


def test_a_gap_left_by_expiry_is_passed() -> None:
    # GIVEN old events of which the first have expired, not quite in order
    put(2, age=90 * 86_400)
    put(5, age=90 * 86_400)
    put(6, age=90 * 86_400)
    head(6)
    # WHEN read from the start THEN what is left is there
    assert read()[0] == [2, 5, 6]


def test_a_page_stays_below_what_a_function_may_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "_LARGEST_PAGE", 60)
    for position in range(1, 6):
        put(position)
    head(5)
    positions, cursor = read()
    assert positions == [1, 2]
    assert read(cursor)[0] == [3, 4]


def test_blocks_follow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN blocks of 4 positions
    monkeypatch.setattr(feed_module, "BLOCK", 4)
    for position in range(1, 11):
        put(position)
    head(10)
    # THEN a page spans them, from wherever it starts
    assert read()[0] == list(range(1, 11))
    assert read(write_cursor(3), 5)[0] == [4, 5, 6, 7, 8]
    assert read(write_cursor(4), 5)[0] == [5, 6, 7, 8, 9]
    assert read(write_cursor(10))[0] == []


def test_a_reader_from_the_start_finds_what_is_left_of_a_long_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN 400 blocks of which all but the last two have expired
    monkeypatch.setattr(feed_module, "BLOCK", 4)
    for position in range(1590, 1601):
        put(position, age=86_400)
    head(1600)
    queries: list[int] = []
    real = Feed._query

    def counted(self: Feed, block: int, after: int, limit: int) -> list[dict[str, Any]]:
        queries.append(block)
        return real(self, block, after, limit)

    monkeypatch.setattr(Feed, "_query", counted)
    # WHEN it reads THEN it finds them without asking each block
    assert read()[0] == list(range(1590, 1601))
    assert len(queries) < 20


def test_notifications_look_like_standard_webhooks() -> None:
    put(1)
    head(1)
    body = Feed(FeedSettings(EVENTS)).read(None, 1).notifications[0].body()
    assert body == {
        "type": "Exam Uploaded",
        "timestamp": "2023-11-14T22:13:20.123Z",
        "data": {"version": "1.1", "StudyInstanceUID": "1.2", "eventId": "e1", "sequence": 1},
    }


@pytest.mark.parametrize("text", ["x", "djEu", "1", "é", "djEuMA==x", "....", write_cursor(1) + "A"])
def test_a_text_that_is_no_cursor_is_rejected(text: str) -> None:
    with pytest.raises(BadRequest):
        read(text)


def test_cursors_come_back_as_they_were() -> None:
    assert [read_cursor(write_cursor(n)) for n in (0, 1, 10**12)] == [0, 1, 10**12]
