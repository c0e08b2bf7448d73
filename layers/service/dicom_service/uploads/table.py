"""The Uploads table: what was announced, what became of each file, and how far a ZIP has come.

=======================  ===========================================================================================
item (uploadId, file)    holds
=======================  ===========================================================================================
id, ``#upload``          times, number of files, number of files that are finished, state once it has ended
id, ``0001`` …           one file: what was announced; once finished its state, reason, counts, instance and study
id, ``0001#000200`` …    the results of a ZIP's entries from number 200 on, compressed
drop-…, version          a dropped object, as a file without an upload
=======================  ===========================================================================================

A file is finished by one conditional write, in one transaction with the upload's counter and the events that
report it: delivered again, it is neither counted nor reported twice.
"""

import json
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from dicom_service import aws
from dicom_service.uploads.file_result import FileResult, Key

UPLOAD = "#upload"
# The state of an upload that has not ended, and the attribute that only those have, by which an index finds them.
OPEN = "open"
_OPEN_KEY, _OPEN_INDEX = "open", "OpenUploads"
# A transaction takes 100 items: one is the upload's, and each file may have an event.
FINISHED_AT_ONCE = 49
_BUSY = "The upload cannot be recorded at the moment; try again."
_Entries = Callable[[FileResult], Sequence[Mapping[str, Any]]]


class UploadsTable:
    """Reads and writes the Uploads table. Methods raise `Unavailable` where it fails, and may then be repeated.

    Parameters
    ----------
    name
        The table.
    keep_days
        Days until an item may be removed.
    clock
        Seconds since the epoch.
    """

    def __init__(self, name: str, *, keep_days: int = 30, clock: Callable[[], float] = time.time) -> None:
        self._name = name
        self._keep = keep_days * 86_400
        self._clock = clock

    def now(self) -> int:
        """Return the time in seconds since the epoch."""
        return int(self._clock())

    @aws.errors(_BUSY)
    def create(self, upload_id: str, upload: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]) -> None:
        """Write a new upload; its own item comes last, so that an upload that can be found is whole."""
        ttl = self.now() + self._keep
        items = [{"uploadId": upload_id, "file": file_id, "ttl": ttl, **values} for file_id, values in files.items()]
        aws.batch_write(self._name, [{"PutRequest": {"Item": aws.to_item(item)}} for item in items])
        self._put({"uploadId": upload_id, "file": UPLOAD, "ttl": ttl, **upload})

    @aws.errors(_BUSY)
    def get(self, upload_id: str, file_id: str = UPLOAD) -> dict[str, Any] | None:
        """Return one item, or None."""
        return aws.get(self._name, _named((upload_id, file_id)))

    @aws.errors(_BUSY)
    def find(self, keys: Iterable[Key]) -> dict[Key, dict[str, Any]]:
        """Return the items that exist of those asked for."""
        wanted = [_named(key) for key in dict.fromkeys(keys)]
        items = aws.batch_get(self._name, wanted, consistent=True)
        return {(item["uploadId"], item["file"]): item for item in items}

    def items(self, upload_id: str) -> Iterator[dict[str, Any]]:
        """Yield every item of an upload, in order."""
        with aws.errors(_BUSY):
            found = aws.query(
                TableName=self._name,
                KeyConditionExpression="uploadId = :id",
                ExpressionAttributeValues=aws.to_item({":id": upload_id}),
                ConsistentRead=True,
            )
            yield from map(aws.from_item, found)

    def record_attempt(self, key: Key, attempt: int) -> None:
        """Record that an attempt came to an end in order, unless the file is finished: it comes again."""
        names = {"#ttl": "ttl"}
        expression = "SET lastTry = :attempt, #ttl = :ttl REMOVE deaths"
        ttl = self.now() + self._keep
        self._update(key, expression, "attribute_not_exists(finishedAt)", names, attempt=attempt, ttl=ttl)

    def received(self, key: Key) -> None:
        """Record that a file has arrived and waits for the PACS, or is worked on; a finished one stays as it is."""
        condition = "attribute_exists(uploadId) AND attribute_not_exists(finishedAt)"
        self._update(key, "SET #state = :received, seenAt = :now", condition, received="received", now=self.now())

    def count(self, key: Key, what: str) -> None:
        """Count ``refusals`` of the PACS that may pass, ``errors``, ``deaths`` of workers, or ``copies`` of a file."""
        names = {"#ttl": "ttl", "#what": what}
        self._update(key, "SET #ttl = :ttl ADD #what :one", None, names, ttl=self.now() + self._keep, one=1)

    def finish(self, results: Sequence[FileResult], entries: _Entries = lambda result: ()) -> list[Key]:
        """Record the results of files of one upload, or of dropped objects, once.

        Parameters
        ----------
        results
            One for each file.
        entries
            ``TransactItems`` that are written with a result, such as an event of the outbox.

        Returns
        -------
        list
            Those that were finished by this call; the others had been before.

        Raises
        ------
        ConditionFailed
            The upload is gone, or an entry that is written with a result fails its own condition.
        """
        left = list(results)
        while left:
            try:
                with aws.errors(_BUSY):
                    aws.transact(self._finishing(left, entries))
            except aws.ConditionFailed as failed:
                finished = failed.positions & set(range(len(left)))
                if not finished:
                    raise  # for another attempt would fail alike
                left = [result for position, result in enumerate(left) if position not in finished]
            else:
                break
        return [result.key for result in left]

    def _finishing(self, results: Sequence[FileResult], entries: _Entries) -> list[Mapping[str, Any]]:
        now = self.now()
        updates: list[Mapping[str, Any]] = []
        counted: Counter[str] = Counter()
        for result in results:
            dropped = result.key[0].startswith("drop-")
            values = {**result.recorded, "versionId": result.version_id, "finishedAt": now}
            values |= {"etag": result.staged.etag} if result.staged else {}
            values |= {"ttl": now + self._keep} if dropped else {}
            condition = "attribute_not_exists(finishedAt)" + ("" if dropped else " AND attribute_exists(uploadId)")
            updates.append(self._set(result.key, values, condition))
            if not dropped:
                counted[result.key[0]] += 1
        for upload_id, count in counted.items():
            update = {
                "TableName": self._name,
                "Key": _key((upload_id, UPLOAD)),
                "UpdateExpression": "ADD done :count",
                "ConditionExpression": "attribute_exists(uploadId)",
                "ExpressionAttributeValues": aws.to_item({":count": count}),
            }
            updates.append({"Update": update})
        return [*updates, *(entry for result in results for entry in entries(result))]

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
        """Record that an upload has ended; the first end stays."""
        expression = "SET #state = :state, endedAt = :now REMOVE #open"
        names = {"#open": _OPEN_KEY, "#state": "state"}
        self._update((upload_id, UPLOAD), expression, "#state = :open", names, state=state, open=OPEN, now=self.now())

    @aws.errors(_BUSY)
    def put_entries(self, key: Key, start: int, results: Sequence[Mapping[str, Any]], *, last: bool) -> None:
        """Record the results of a ZIP's entries from number `start` on; the same again changes nothing."""
        self._put(
            {
                "uploadId": key[0],
                "file": f"{key[1]}#{start:06d}",
                "ttl": self.now() + self._keep,
                "start": start,
                "entries": len(results),
                "last": last,
                "results": zlib.compress(json.dumps(results, separators=(",", ":")).encode(), 6),
            }
        )

    def entries(self, key: Key) -> list[dict[str, Any]]:
        """Return the items that `put_entries` wrote for a file, in order."""
        return [item for item in self.items(key[0]) if item["file"].startswith(f"{key[1]}#")]

    @aws.errors(_BUSY)
    def expired(self, before: int) -> list[str]:
        """Return the uploads that should have ended `before` this time and have not."""
        found = aws.query(
            TableName=self._name,
            IndexName=_OPEN_INDEX,
            KeyConditionExpression="#open = :open AND expiresAt < :before",
            ExpressionAttributeNames={"#open": _OPEN_KEY},
            ExpressionAttributeValues=aws.to_item({":open": OPEN, ":before": before}),
        )
        return [aws.from_item(item)["uploadId"] for item in found]

    def _update(
        self, key: Key, expression: str, condition: str | None, names: Mapping[str, str] | None = None, **values: Any
    ) -> None:
        change: Any = {
            "TableName": self._name,
            "Key": _key(key),
            "UpdateExpression": expression,
            "ExpressionAttributeNames": names or {"#state": "state"},
            "ExpressionAttributeValues": aws.to_item({f":{name}": value for name, value in values.items()}),
        } | ({"ConditionExpression": condition} if condition else {})
        with suppress(aws.ConditionFailed), aws.errors(_BUSY):
            aws.patiently(lambda: aws.dynamodb().update_item(**change))

    def _put(self, item: Mapping[str, Any]) -> None:
        entry = aws.to_item(item)
        aws.patiently(lambda: aws.dynamodb().put_item(TableName=self._name, Item=entry))


def read_entries(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the results that an item of a ZIP's entries holds."""
    results: list[dict[str, Any]] = json.loads(zlib.decompress(bytes(item["results"])))
    return results


def stored_instances(items: Sequence[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """Return what an upload brought: (study, instance) UIDs, each once."""
    stored = {
        (item["studyInstanceUID"], item["sopInstanceUID"])
        for item in items
        if "sopInstanceUID" in item and item["state"] == "stored"
    }
    for item in items:
        entries = read_entries(item) if "results" in item else []
        stored |= {
            (entry["studyInstanceUID"], entry["sopInstanceUID"]) for entry in entries if entry["state"] == "stored"
        }
    return stored


def _named(key: Key) -> dict[str, str]:
    return {"uploadId": key[0], "file": key[1]}


def _key(key: Key) -> dict[str, Any]:
    return aws.to_item(_named(key))
