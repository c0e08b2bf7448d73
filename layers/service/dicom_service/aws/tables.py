"""DynamoDB: transactions that are retried, complete batches, queries over all pages.

All of it raises botocore's errors, which callers translate with `dicom_service.aws.errors`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dicom_service.aws import clients
from dicom_service.aws.errors import Unprocessed
from dicom_service.aws.items import from_item, to_item
from dicom_service.aws.retry import patiently, tries

# Items of one request.
_READS, _WRITES = 100, 25


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
