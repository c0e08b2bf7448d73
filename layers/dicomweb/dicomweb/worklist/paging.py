"""Pages out of a PACS that filters less than was asked for."""

from __future__ import annotations

from collections.abc import Callable

from dicomweb.worklist.base import Page, Query, Workitem

_PAGE_SIZE = 200
"""The largest page that Azure returns."""

_MOST_PAGES = 5
"""Requests to the PACS for one page, so that a filter that matches nothing ends in time."""


def collect(fetch: Callable[[int, int], list[Workitem]], query: Query, *, limit: int, cursor: str | None) -> Page:
    """Fetch rows until `limit` of them match.

    Parameters
    ----------
    fetch
        Returns up to a count of rows from an offset; fewer at the end.
    cursor
        Offset of the first row, as text.
    """
    offset = int(cursor) if cursor and cursor.isascii() and cursor.isdecimal() else 0
    items: list[Workitem] = []
    for _ in range(_MOST_PAGES):
        size = min(max(limit - len(items), 1), _PAGE_SIZE)
        rows = fetch(offset, size)
        items += [row for row in rows if query.matches(row)]
        offset += len(rows)
        if len(rows) < size:
            return Page(items)
        if len(items) >= limit:
            break
    return Page(items, str(offset))
