"""Finds staged objects whose event never came, and queues them as their event would have.

S3 sends no events for some five minutes after they were switched on, and delivers them "at least once, best effort".
An object that nobody has seen is queued a quarter of an hour after it came, and every hour from then on: where its
event waits in a long queue instead, that costs a message that changes nothing.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from dicom_service import aws, metrics
from dicom_service.log import get_logger
from dicom_service.uploads.staged_object import DROP_PREFIX, UPLOADS_PREFIX, StagedObject, event_of
from dicom_service.uploads.table import UploadsTable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectVersionTypeDef

logger = get_logger()

# Seconds after which an object is queued once more.
_AGAIN = 3600
# The schedule of the function, with a little more: a run that starts late leaves out no object.
_BETWEEN_RUNS = 330
_BUSY = "The staging bucket does not answer at the moment; try again."


class Sweep:
    """Queues what is staged and was never seen.

    Parameters
    ----------
    client, bucket
        Where objects are staged.
    table
        What the ingest has seen.
    queue_url
        The ingest queue.
    late
        Seconds after which an event is late.
    """

    def __init__(
        self, client: "S3Client", bucket: str, table: UploadsTable, queue_url: str, *, late: int = 900
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._table = table
        self._queue_url = queue_url
        self._late = late

    def run(self) -> int:
        """Queue the objects that are due, and return their number."""
        count = 0
        for prefix in (UPLOADS_PREFIX, DROP_PREFIX):
            for page in self._pages(prefix):
                count += self._queue(page)
        if count:
            metrics.count("StagedWithoutEvent", count)
            logger.warning("staged objects were found without an event", extra={"objects": count})
        return count

    def _pages(self, prefix: str) -> Iterator[list[StagedObject]]:
        """Yield what is due of each page of a thousand versions, also of those that are not the latest of their key."""
        with aws.errors(_BUSY):
            for page in self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=prefix):
                yield [self._staged(entry) for entry in page.get("Versions", []) if self._is_due(entry)]

    def _is_due(self, entry: "ObjectVersionTypeDef") -> bool:
        late = self._table.now() - int(entry["LastModified"].timestamp()) - self._late
        return late >= 0 and late % _AGAIN < _BETWEEN_RUNS

    def _staged(self, entry: "ObjectVersionTypeDef") -> StagedObject:
        return StagedObject(
            self._bucket, entry["Key"], entry["ETag"].strip('"'), entry["Size"], version_id=entry["VersionId"]
        )

    def _queue(self, found: Iterable[StagedObject]) -> int:
        due = [staged for staged in found if not staged.ignored]
        names = {staged: staged.names for staged in due}
        known = self._table.find(chain.from_iterable(names.values()))
        seen = {key for key, item in known.items() if "finishedAt" not in item and {"seenAt", "lastTry"} & item.keys()}
        # A finished one is still there because its last steps were not done: they are repeated.
        lost = [staged for staged in due if not seen & names[staged]]
        with aws.errors(_BUSY):
            aws.send_all(self._queue_url, [event_of(staged) for staged in lost])
        return len(lost)
