"""What the ingest works on: one staged object and the messages that brought it, and groups that share a request."""

from dataclasses import dataclass, field

from dicom_service.aws.sqs_worker import Message
from dicom_service.uploads.file_result import Outcome
from dicom_service.uploads.finalize import Ended
from dicom_service.uploads.instance import OutboundInstance
from dicom_service.uploads.s3_events import StagedObject
from dicom_service.uploads.s3source import S3Source

# From this try on a file is sent and noted alone.
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
        How often the PACS refused it in a way that may pass.
    errors
        How often it met an error that nobody foresaw.
    last_try
        The latest try that came to an end in order.
    deaths
        Tries with nothing beside it that came to none: their workers were killed.
    failed, unforeseen, retry_after
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
    unforeseen: bool = False
    retry_after: int | None = None

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
        """Whether the try before this one came to no end: this file, or one beside it, killed the worker."""
        return self.attempts >= ALONE_FROM and self.last_try != self.attempts - 1

    def ended(self, outcome: Outcome) -> Ended:
        """Give its end."""
        return Ended(self.staged, self.source.version_id, outcome)


@dataclass
class Group:
    """Small files of one upload and study that may go in one request."""

    jobs: list[Job] = field(default_factory=list)
    instances: list[OutboundInstance] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(instance.size for instance in self.instances)
