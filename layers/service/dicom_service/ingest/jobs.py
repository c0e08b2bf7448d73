"""A staged object on its way through the ingest, groups that share a request, and steps that run in threads."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from dicom_service.aws.sqs_worker import Message
from dicom_service.element_walk import StorageError
from dicom_service.errors import Unavailable
from dicom_service.ingest.s3source import S3Source
from dicom_service.log import describe, get_logger
from dicom_service.part10 import Header
from dicom_service.storing.failure_reasons import DETAILS, OBJECT_MISSING, StoreFailure
from dicom_service.storing.outbound_instance import OutboundInstance, arrived
from dicom_service.uploads.file_result import FileResult, State
from dicom_service.uploads.staged_object import StagedObject

logger = get_logger()

# From this attempt on a file is sent and recorded alone.
ALONE_FROM = 2
# A file that was worked on with nothing beside it when so many workers died is given up.
MOST_DEATHS = 3


@dataclass
class Job:
    """One staged object and the messages that brought it.

    Parameters
    ----------
    staged
        The object.
    messages
        One, unless it was delivered more than once in this batch.
    sha256
        Digest that its client announced.
    refusals
        How often the PACS rejected it in a way that may pass.
    errors
        How often it met an unexpected error.
    last_try
        The latest attempt that came to an end in order.
    deaths
        Attempts with nothing beside it that came to none: their workers were killed.
    failed, unexpected, retry_after
        Whether it is to be delivered again, whether for such an error, and when the PACS wants that.
    """

    staged: StagedObject
    messages: list[Message]
    source: S3Source
    sha256: str | None = None
    refusals: int = 0
    errors: int = 0
    last_try: int = 0
    deaths: int = 0
    failed: bool = False
    unexpected: bool = False
    retry_after: int | None = None

    def load(self, item: Mapping[str, Any]) -> None:
        """Take over what the Uploads table holds of the file."""
        self.sha256 = item.get("sha256")
        self.refusals, self.errors = item.get("refusals", 0), item.get("errors", 0)
        self.deaths, self.last_try = item.get("deaths", 0), item.get("lastTry", 0)

    @property
    def attempts(self) -> int:
        """How often it was tried, this time included."""
        return max(message.attempts for message in self.messages)

    @property
    def alone(self) -> bool:
        """Whether it goes alone from now on: what it breaks then, it breaks for itself."""
        return self.attempts >= ALONE_FROM

    @property
    def suspected(self) -> bool:
        """Whether the attempt before this one came to no end: this file, or one beside it, killed the worker."""
        return self.attempts >= ALONE_FROM and self.last_try != self.attempts - 1

    def result(self, state: State, **members: Any) -> FileResult:
        """Return a result of this file."""
        key, version_id = self.staged.tracked, self.source.version_id
        return FileResult(key, state, staged=self.staged, version_id=version_id, **members)

    def rejected(self, reason: str, detail: str | None = None, **values: Any) -> FileResult:
        """Return the result of a file that is not stored."""
        return self.result("rejected", reason=reason, detail=detail or DETAILS[reason], values=values)

    def sent(self, header: Header, failure: StoreFailure | None) -> FileResult:
        """Return the result of a single file that was sent: stored where there is no failure."""
        uids = {"studyInstanceUID": header.study_instance_uid, "sopInstanceUID": header.sop_instance_uid}
        if failure is None:
            return self.result("stored", values={**uids, "instances": 1}, arrived=arrived(header))
        if failure.reason == OBJECT_MISSING:
            return self.rejected(OBJECT_MISSING)
        return self.rejected(failure.reason, failure.detail, failureReason=failure.code, **uids)


@dataclass
class Group:
    """Small files of one upload and study that may go in one request."""

    jobs: list[Job] = field(default_factory=list)
    instances: list[OutboundInstance] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(instance.size for instance in self.instances)

    def holds(self, sop_instance_uid: str) -> bool:
        """Return whether an instance of this UID is in it."""
        return any(instance.header.sop_instance_uid == sop_instance_uid for instance in self.instances)


def finish(steps: Mapping[Future[None], Sequence[Job]]) -> None:
    """Wait for steps; where one fails, its jobs are tried again and the others go on."""
    for step, jobs in steps.items():
        has_failed(step, jobs)


def has_failed(step: Future[Any], jobs: Sequence[Job]) -> bool:
    """Wait for a step and return whether it failed: its jobs are tried again then."""
    error = step.exception()
    if error is None:
        return False
    if not isinstance(error, Exception):
        raise error
    expected = isinstance(error, Unavailable | StorageError)
    (logger.warning if expected else logger.error)("ingest is put off", extra=describe(error))
    for job in jobs:
        job.failed = True
        # Where several share a step, none of them is known to be the cause: they come again, each alone.
        job.unexpected = not expected and len(jobs) == 1
    return True
