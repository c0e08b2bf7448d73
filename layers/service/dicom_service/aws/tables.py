"""DynamoDB: transactions that are tried again, batches that are complete, queries over all pages.

All of it raises botocore's errors, for callers to translate with `dicom_service.aws.errors`.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from dicom_service.aws import clients
from dicom_service.aws.errors import Unprocessed, is_busy
from dicom_service.aws.items import from_item, to_item

T = TypeVar("T")

_ATTEMPTS = 12
_LONGEST_PAUSE = 1.0
# What one request takes.
_READS, _WRITES = 100, 25


def tries(most: int = _ATTEMPTS) -> Iterator[int]:
    """Yield the numbers of attempts from 0 on, with a random and growing pause before each but the first.

    For writers that meet: the SDK repeats throttled requests, but not those whose items another writer holds.
    """
    for attempt in range(most):
        if attempt:
            pause(attempt - 1)
        yield attempt


def pause(attempt: int) -> None:
    """Wait after an attempt: 20 ms at most after the first, twice as long after each further one, at most 1 s."""
    time.sleep(random.uniform(0, min(_LONGEST_PAUSE, 0.02 * 2**attempt)))  # noqa: S311  (spreads callers, guards nothing)


def patiently(call: Callable[[], T]) -> T:
    """Repeat a write while other writers hold its items or DynamoDB throttles it."""
    for attempt in range(_ATTEMPTS - 1):
        try:
            return call()
        except ClientError as error:
            if not is_busy(error):
                raise
        pause(attempt)
    return call()


def transact(items: Sequence[Mapping[str, Any]]) -> None:
    """Write up to 100 items in one transaction, again while other writers hold some of them."""
    entries: Any = list(items)
    patiently(lambda: clients.dynamodb().transact_write_items(TransactItems=entries))


def get(table: str, key: Mapping[str, Any], *, consistent: bool = True) -> dict[str, Any] | None:
    """Return the item of a key, None when there is none."""
    found = clients.dynamodb().get_item(TableName=table, Key=to_item(key), ConsistentRead=consistent)
    return from_item(found["Item"]) if "Item" in found else None


def query(**arguments: Any) -> Iterator[dict[str, Any]]:
    """Yield the items that a query finds, as DynamoDB has them, page by page."""
    while True:
        page = clients.dynamodb().query(**arguments)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def batch_get(table: str, keys: Iterable[Mapping[str, Any]], *, consistent: bool = False) -> Iterator[dict[str, Any]]:
    """Read many items by key, in no order; those that are not there are left out.

    DynamoDB answers a part of a batch when it is busy and names the rest (`UnprocessedKeys`), which the SDK does not
    ask for again.
    """
    wanted = [to_item(key) for key in keys]
    for start in range(0, len(wanted), _READS):
        request: Any = {"Keys": wanted[start : start + _READS], "ConsistentRead": consistent}
        for _ in tries():
            answer = clients.dynamodb().batch_get_item(RequestItems={table: request})
            yield from map(from_item, answer["Responses"].get(table, []))
            request = answer.get("UnprocessedKeys", {}).get(table)
            if not request:
                break
        else:
            raise Unprocessed


def batch_write(table: str, requests: Sequence[Mapping[str, Any]]) -> None:
    """Send any number of ``PutRequest`` and ``DeleteRequest`` entries, until DynamoDB has processed all of them."""
    for start in range(0, len(requests), _WRITES):
        left: Any = list(requests[start : start + _WRITES])
        for _ in tries():
            answer = clients.dynamodb().batch_write_item(RequestItems={table: left})
            left = answer.get("UnprocessedItems", {}).get(table)
            if not left:
                break
        else:
            raise Unprocessed
