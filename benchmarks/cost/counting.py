"""Counts what a flow asks of AWS, in the units that AWS bills, while moto answers.

Listens to botocore's own events, so nothing of the code under measurement is replaced.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dicom_service import aws

# Requests of S3 that are billed as a PUT; deletions and aborts are free, the others are a GET.
_PUTS = frozenset(
    {
        *("PutObject", "CopyObject", "CreateMultipartUpload", "UploadPart", "UploadPartCopy"),
        *("CompleteMultipartUpload", "ListObjectsV2", "ListObjectVersions", "ListParts"),
    }
)
_FREE = frozenset({"DeleteObject", "DeleteObjects", "AbortMultipartUpload"})
# Attributes that put an item into an index of its table: each change of such an item is written there too.
_INDEXED = frozenset({"open"})


class Counted(Counter[str]):
    """Billed units by name, as `prices.json` names them, and the calls themselves as ``service.Operation``."""

    def before(self, params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
        """Keep the parameters of a request; a URL that is only signed is never sent."""
        context["counted"] = params

    def after(self, parsed: Mapping[str, Any], model: Any, context: Mapping[str, Any], **_: Any) -> None:
        """Count a request that was sent, by its parameters and by what a read brought."""
        service, name, params = model.service_model.service_name, model.name, context["counted"]
        self[f"{service}.{name}"] += 1
        if service == "s3" and name not in _FREE:
            self["S3 PUT" if name in _PUTS else "S3 GET"] += 1
        elif service == "sqs":
            self["SQS"] += 1
        elif service == "events":
            self["EventBridge"] += len(params.get("Entries", [1]))
        elif service == "dynamodb":
            self["DynamoDB WRU"] += _written(name, params)
            self["DynamoDB RRU"] += _read(name, params, parsed)


def _read(name: str, params: Mapping[str, Any], parsed: Mapping[str, Any]) -> int:
    """Return read units as of consistent reads; of a batch each key is a read of its own, also of no item."""
    if name == "BatchGetItem":
        return sum(len(request["Keys"]) for request in params["RequestItems"].values())
    if name not in ("GetItem", "Query"):
        return 0
    items = [parsed["Item"]] if "Item" in parsed else parsed.get("Items", [])
    return max(1, math.ceil(sum(map(size, items)) / 4096))


def _written(name: str, params: Mapping[str, Any]) -> int:
    if name == "TransactWriteItems":
        return sum(2 * _units(kind, entry) for item in params["TransactItems"] for kind, entry in item.items())
    if name == "BatchWriteItem":
        requests = [request for some in params["RequestItems"].values() for request in some]
        return sum(_units("Put", request.get("PutRequest", {})) for request in requests)
    return _units(name, params) if name in ("PutItem", "UpdateItem", "DeleteItem") else 0


def _units(kind: str, entry: Mapping[str, Any]) -> int:
    """Return the write units of one item: 1 for each kB; what an update leaves in place is taken to be small."""
    item = entry.get("Item") or entry.get("ExpressionAttributeValues") or {}
    names = set(item) | set(entry.get("ExpressionAttributeNames", {}).values())
    units = max(1, math.ceil(size(item) / 1024))
    return units * 2 if names & _INDEXED else units


def size(item: Mapping[str, Any]) -> int:
    """Return about how many bytes an item takes in DynamoDB."""
    return sum(len(name) + _length(value) for name, value in item.items())


def _length(value: Any) -> int:
    kind, content = next(iter(value.items()))
    if kind in ("S", "B", "N"):
        return len(content)
    if kind in ("SS", "NS", "BS"):
        return sum(map(len, content))
    if kind == "L":
        return 3 + sum(map(_length, content))
    return 3 + size(content) if kind == "M" else 1


@contextmanager
def counting() -> Iterator[Counted]:
    """Count every request that this process sends to AWS meanwhile."""
    counted = Counted()
    clients = [aws.s3(), aws.sqs(), aws.dynamodb(), aws.events()]
    hooks: dict[str, Callable[..., None]] = {"before-parameter-build": counted.before, "after-call": counted.after}
    for client in clients:
        for name, hook in hooks.items():
            client.meta.events.register(name, hook)
    try:
        yield counted
    finally:
        for client in clients:
            for name, hook in hooks.items():
                client.meta.events.unregister(name, hook)
