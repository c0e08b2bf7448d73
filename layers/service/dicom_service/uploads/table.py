"""The Uploads table: what was announced, what became of each file, and how far a ZIP has come.

=======================  ===========================================================================================
item (uploadId, file)    holds
=======================  ===========================================================================================
id, ``#upload``          times, number of files, number of files that are finished, state once it has ended
id, ``0001`` …           one file: what was announced; once finished its state, reason, counts, instance and study
id, ``0001#000200`` …    the results of a ZIP's entries from number 200 on, compressed
drop-…, version          a dropped object, as a file without an upload
=======================  ===========================================================================================

A file is finished by one conditional write, in one transaction with the upload's counter and the events that tell of
it: delivered again, it is neither counted nor told twice.
"""

import json
import random
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dicom_service import aws
from dicom_service.errors import Unavailable

UPLOAD = "#upload"
OPEN = "open"
OPEN_INDEX = "OpenUploads"
# A transaction takes 100 items: one is the upload's, and each file may have an event.
FINISHED_AT_ONCE = 49
_ATTEMPTS = 12
_BUSY = "The upload cannot be noted at the moment; try again."
_TRANSIENT = frozenset({"None", "ConditionalCheckFailed", "TransactionConflict", "ThrottlingError"})

Key = tuple[str, str]


@dataclass(frozen=True)
class Finished:
    """The end of one file.

    Parameters
    ----------
    key
        Its place in the table.
    values
        What is noted of it.
    entries
        ``TransactItems`` that go with it, such as an event of the outbox.
    """

    key: Key
    values: Mapping[str, Any]
    entries: Sequence[Mapping[str, Any]] = field(default=())


class UploadsTable:
    """Reads and writes the Uploads table.

    Parameters
    ----------
    name
        The table.
    keep_days
        Days until an item may be removed.
    clock
        Seconds since the epoch.
    sleep
        Waits between attempts when two writers meet.
    """

    def __init__(
        self,
        name: str,
        *,
        keep_days: int = 30,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name = name
        self._keep = keep_days * 86_400
        self._clock = clock
        self._sleep = sleep

    def now(self) -> int:
        """Give the time in seconds since the epoch."""
        return int(self._clock())

    def create(self, upload_id: str, upload: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]) -> None:
        """Write a new upload; its own item comes last, so that an upload that can be found is whole.

        Raises
        ------
        Unavailable
            The table refuses; nothing can be found under `upload_id`.
        """
        ttl = self.now() + self._keep
        items = [{"uploadId": upload_id, "file": file_id, "ttl": ttl, **values} for file_id, values in files.items()]
        for start in range(0, len(items), 25):
            self._write([{"PutRequest": {"Item": aws.to_item(item)}} for item in items[start : start + 25]])
        self._call("put_item", Item=aws.to_item({"uploadId": upload_id, "file": UPLOAD, "ttl": ttl, **upload}))

    def _write(self, requests: list[Any]) -> None:
        for attempt in range(_ATTEMPTS):
            if not requests:
                return
            try:
                answer = aws.dynamodb().batch_write_item(RequestItems={self._name: requests})
            except (BotoCoreError, ClientError) as error:
                raise Unavailable(_BUSY) from error
            requests = list(answer.get("UnprocessedItems", {}).get(self._name, []))
            if requests:
                self._pause(attempt)
        raise Unavailable(_BUSY)

    def get(self, upload_id: str, file_id: str = UPLOAD) -> dict[str, Any] | None:
        """Give one item, or None.

        Raises
        ------
        Unavailable
            The table cannot be read.
        """
        found = self._call("get_item", Key=_key((upload_id, file_id)), ConsistentRead=True)
        return aws.from_item(found["Item"]) if "Item" in found else None

    def find(self, keys: Iterable[Key]) -> dict[Key, dict[str, Any]]:
        """Give the items that exist of those asked for.

        Raises
        ------
        Unavailable
            The table cannot be read.
        """
        wanted = list(dict.fromkeys(keys))
        found: dict[Key, dict[str, Any]] = {}
        for start in range(0, len(wanted), 100):
            request: Any = {"Keys": [_key(key) for key in wanted[start : start + 100]], "ConsistentRead": True}
            attempt = 0
            while request:
                try:
                    answer = aws.dynamodb().batch_get_item(RequestItems={self._name: request})
                except (BotoCoreError, ClientError) as error:
                    raise Unavailable(_BUSY) from error
                items = map(aws.from_item, answer["Responses"].get(self._name, []))
                found |= {(item["uploadId"], item["file"]): item for item in items}
                request = answer.get("UnprocessedKeys", {}).get(self._name)
                attempt += 1
                if attempt > _ATTEMPTS:
                    raise Unavailable(_BUSY)
        return found

    def items(self, upload_id: str) -> Iterator[dict[str, Any]]:
        """Give every item of an upload, in order.

        Raises
        ------
        Unavailable
            The table cannot be read.
        """
        more: dict[str, Any] = {}
        while True:
            answer = self._call(
                "query",
                KeyConditionExpression="uploadId = :id",
                ExpressionAttributeValues=aws.to_item({":id": upload_id}),
                ConsistentRead=True,
                **more,
            )
            yield from map(aws.from_item, answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            more = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def put_off(self, key: Key, attempt: int) -> None:
        """Note that a try came to an end in order, unless the file is finished: it comes again.

        Raises
        ------
        Unavailable
            The table refuses.
        """
        names = {"#ttl": "ttl"}
        expression = "SET lastTry = :attempt, #ttl = :ttl REMOVE deaths"
        ttl = self.now() + self._keep
        self._update(key, expression, "attribute_not_exists(finishedAt)", names, attempt=attempt, ttl=ttl)

    def received(self, key: Key) -> None:
        """Note that a file has arrived and waits for the PACS, or is worked on; what is finished stays as it is.

        Raises
        ------
        Unavailable
            The table refuses.
        """
        condition = "attribute_exists(uploadId) AND attribute_not_exists(finishedAt)"
        self._update(key, "SET #state = :received, seenAt = :now", condition, received="received", now=self.now())

    def count(self, key: Key, what: str) -> None:
        """Count ``refusals`` of the PACS that may pass, ``errors``, ``deaths`` of workers, or ``copies`` of a file.

        Raises
        ------
        Unavailable
            The table refuses.
        """
        self._call(
            "update_item",
            Key=_key(key),
            UpdateExpression="SET #ttl = :ttl ADD #what :one",
            ExpressionAttributeNames={"#ttl": "ttl", "#what": what},
            ExpressionAttributeValues=aws.to_item({":ttl": self.now() + self._keep, ":one": 1}),
        )

    def finish(self, files: Sequence[Finished]) -> list[Key]:
        """Note the end of files of one upload, or of dropped objects, once.

        Returns
        -------
        list
            Those that were finished by this call; the others had been before.

        Raises
        ------
        Unavailable
            The table refuses; repeating the call is harmless.
        """
        left = list(files)
        for attempt in range(_ATTEMPTS):
            if not left:
                return []
            try:
                aws.dynamodb().transact_write_items(TransactItems=self._finishing(left))
            except ClientError as error:
                done = _finished_before(error, len(left))
                left = [file for file, before in zip(left, done, strict=True) if not before]
                if not any(done):
                    self._pause(attempt)
                continue
            except BotoCoreError as error:
                raise Unavailable(_BUSY) from error
            return [file.key for file in left]
        raise Unavailable(_BUSY)

    def _finishing(self, files: Sequence[Finished]) -> list[Any]:
        now = self.now()
        updates: list[Any] = []
        counted: dict[str, int] = {}
        for file in files:
            dropped = file.key[0].startswith("drop-")
            values = {**file.values, "finishedAt": now} | ({"ttl": now + self._keep} if dropped else {})
            condition = "attribute_not_exists(finishedAt)" + ("" if dropped else " AND attribute_exists(uploadId)")
            updates.append(self._set(file.key, values, condition))
            if not dropped:
                counted[file.key[0]] = counted.get(file.key[0], 0) + 1
        for upload_id, count in counted.items():
            update = {
                "TableName": self._name,
                "Key": _key((upload_id, UPLOAD)),
                "UpdateExpression": "ADD done :count",
                "ConditionExpression": "attribute_exists(uploadId)",
                "ExpressionAttributeValues": aws.to_item({":count": count}),
            }
            updates.append({"Update": update})
        return [*updates, *(entry for file in files for entry in file.entries)]

    def _set(self, key: Key, values: Mapping[str, Any], condition: str) -> dict[str, Any]:
        given = {name: value for name, value in values.items() if value is not None}
        return {
            "Update": {
                "TableName": self._name,
                "Key": _key(key),
                "UpdateExpression": "SET " + ", ".join(f"#{name} = :{name}" for name in given),
                "ConditionExpression": condition,
                "ExpressionAttributeNames": {f"#{name}": name for name in given},
                "ExpressionAttributeValues": aws.to_item({f":{name}": value for name, value in given.items()}),
            }
        }

    def end(self, upload_id: str, state: str) -> None:
        """Note that an upload has ended; the first end stays.

        Raises
        ------
        Unavailable
            The table refuses.
        """
        expression = "SET #state = :state, endedAt = :now REMOVE #open"
        names = {"#open": OPEN, "#state": "state"}
        self._update((upload_id, UPLOAD), expression, "#state = :open", names, state=state, open="open", now=self.now())

    def put_entries(self, key: Key, start: int, results: Sequence[Mapping[str, Any]], *, last: bool) -> None:
        """Note the results of a ZIP's entries from number `start` on; the same again changes nothing.

        Raises
        ------
        Unavailable
            The table refuses.
        """
        item = {
            "uploadId": key[0],
            "file": f"{key[1]}#{start:06d}",
            "ttl": self.now() + self._keep,
            "start": start,
            "entries": len(results),
            "last": last,
            "results": zlib.compress(json.dumps(results, separators=(",", ":")).encode(), 6),
        }
        self._call("put_item", Item=aws.to_item(item))

    def entries(self, key: Key) -> list[dict[str, Any]]:
        """Give the items that `put_entries` wrote for a file, in order.

        Raises
        ------
        Unavailable
            The table cannot be read.
        """
        return [item for item in self.items(key[0]) if item["file"].startswith(f"{key[1]}#")]

    def expired(self, before: int) -> list[str]:
        """Give the uploads that should have ended `before` this time and have not.

        Raises
        ------
        Unavailable
            The table cannot be read.
        """
        answer = self._call(
            "query",
            IndexName=OPEN_INDEX,
            KeyConditionExpression="#open = :open AND expiresAt < :before",
            ExpressionAttributeNames={"#open": OPEN},
            ExpressionAttributeValues=aws.to_item({":open": "open", ":before": before}),
        )
        return [aws.from_item(item)["uploadId"] for item in answer["Items"]]

    def _update(
        self, key: Key, expression: str, condition: str, names: Mapping[str, str] | None = None, **values: Any
    ) -> None:
        try:
            aws.dynamodb().update_item(
                TableName=self._name,
                Key=_key(key),
                UpdateExpression=expression,
                ConditionExpression=condition,
                ExpressionAttributeNames=names or {"#state": "state"},
                ExpressionAttributeValues=aws.to_item({f":{name}": value for name, value in values.items()}),
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise Unavailable(_BUSY) from error
        except BotoCoreError as error:
            raise Unavailable(_BUSY) from error

    def _call(self, operation: str, **arguments: Any) -> Any:
        try:
            return getattr(aws.dynamodb(), operation)(TableName=self._name, **arguments)
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(_BUSY) from error

    def _pause(self, attempt: int) -> None:
        self._sleep(random.uniform(0, min(1.0, 0.02 * 2**attempt)))  # noqa: S311


def read_entries(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give the results that an item of a ZIP's entries holds."""
    results: list[dict[str, Any]] = json.loads(zlib.decompress(bytes(item["results"])))
    return results


def _key(key: Key) -> dict[str, Any]:
    return aws.to_item({"uploadId": key[0], "file": key[1]})


def _finished_before(error: ClientError, count: int) -> list[bool]:
    """Tell which of the first `count` entries of a cancelled transaction had been finished before.

    Raises
    ------
    Unavailable
        It was cancelled for a reason that waiting does not cure.
    """
    code = error.response["Error"]["Code"]
    if code in {"TransactionInProgressException", "TransactionConflictException"}:
        return [False] * count
    response: Mapping[str, Any] = error.response
    codes = [reason.get("Code", "None") for reason in response.get("CancellationReasons", [])]
    known = _TRANSIENT | {"ProvisionedThroughputExceeded"}
    if code != "TransactionCanceledException" or len(codes) < count or not set(codes) <= known:
        raise Unavailable(_BUSY) from error
    return [code == "ConditionalCheckFailed" for code in codes[:count]]
