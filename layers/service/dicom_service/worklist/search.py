"""Searches the Workitems table: one index, one range of its sort key, never a scan."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from dicom_service import aws
from dicom_service.errors import BadRequest
from dicom_service.worklist.store import SCHEDULE, UNREACHABLE, Row, from_item
from dicomweb.worklist.base import STATES, Query

_INDEXES = (
    ("accession_number", "by-accession", "ixAccession"),
    ("patient_id", "by-patient", "ixPatient"),
    ("station", "by-station", "ixStation"),
    ("modality", "by-modality", "ixModality"),
    ("state", "by-state", "ixState"),
)
"""Most selective first: the first filter of a query picks the index, the others filter its rows."""

_CURSOR = re.compile(r"\d{14}#[0-9.]{1,64}", re.ASCII)
_AFTER = "~"
"""Sorts after every key: keys hold digits, dots and one #."""

READ_BUDGET = 10
"""Rows read per row of a page, where a second filter drops most of them."""


def search(table: str, query: Query, *, limit: int, cursor: str | None = None) -> tuple[list[Row], str | None]:
    """Find rows in order of their scheduled start.

    Without a filter that has an index, the rows of the four states are merged.

    Parameters
    ----------
    limit
        Rows to find at most. Fewer may come with a cursor, when a second filter dropped most of them.
    cursor
        Where the previous page ended.

    Returns
    -------
    tuple
        The rows, and the cursor of the next page or None.

    Raises
    ------
    BadRequest
        This service never returned this cursor.
    """
    if cursor is not None and not _CURSOR.fullmatch(cursor):
        raise BadRequest("This service never returned this cursor.", code="INVALID_PARAMETER")
    given = {name: getattr(query, name) for name, _, _ in _INDEXES if getattr(query, name) is not None}
    if not given:
        return _merged(table, query, limit, cursor)
    index, key = next((index, key) for name, index, key in _INDEXES if name in given)
    keys = {key: given[name] for name, _, key in _INDEXES if name in given}
    value = keys.pop(key)
    return _one_index(_request(table, query, index, (key, value), keys, cursor), query, limit)


def _merged(table: str, query: Query, limit: int, cursor: str | None) -> tuple[list[Row], str | None]:
    def rows_of(state: str) -> Iterator[Row]:
        request = _request(table, query, "by-state", ("ixState", state), {}, cursor)
        yield from _one_index(request, query, limit)[0]

    merged = heapq.merge(*map(rows_of, STATES), key=lambda row: row.item.schedule)
    found = list(islice(merged, limit))
    return found, found[-1].item.schedule if len(found) == limit else None


def _one_index(request: dict[str, Any], query: Query, limit: int) -> tuple[list[Row], str | None]:
    found: list[Row] = []
    read = 0
    # DynamoDB rejects bounds the wrong way round, which a cursor beyond the last day makes.
    if request["ExpressionAttributeValues"][":low"]["S"] > request["ExpressionAttributeValues"][":high"]["S"]:
        return found, None
    while True:
        request["Limit"] = limit - len(found)
        with aws.errors(UNREACHABLE):
            answer = aws.dynamodb().query(**request)
        found += [row for row in map(from_item, answer["Items"]) if query.matches(row.item)]
        read += answer["ScannedCount"]
        last: Any = answer.get("LastEvaluatedKey")
        if last is None:
            return found, None
        if len(found) >= limit or read >= READ_BUDGET * limit:
            return found, str(aws.from_item(last)[SCHEDULE])
        request["ExclusiveStartKey"] = last


def _request(
    table: str, query: Query, index: str, key: tuple[str, str], others: dict[str, str], cursor: str | None
) -> dict[str, Any]:
    names = {"#key": key[0], "#when": SCHEDULE}
    # A key that starts with the cursor is the next one or longer, and every character of a key sorts after a space.
    low = max(query.start or "0", f"{cursor} " if cursor else "")
    values = {":key": key[1], ":low": low, ":high": f"{query.end or ''}{_AFTER}"}
    request: dict[str, Any] = {
        "TableName": table,
        "IndexName": index,
        "KeyConditionExpression": "#key = :key AND #when BETWEEN :low AND :high",
    }
    if others:
        conditions = []
        for number, (name, value) in enumerate(others.items()):
            names[f"#other{number}"], values[f":other{number}"] = name, value
            conditions.append(f"#other{number} = :other{number}")
        request["FilterExpression"] = " AND ".join(conditions)
    request["ExpressionAttributeNames"] = names
    request["ExpressionAttributeValues"] = aws.to_item(values)
    return request
