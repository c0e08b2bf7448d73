"""The ingest queue: messages are leased while they are worked on, come back later, or are queued anew."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from dicom_service import metrics
from dicom_service.aws import sqs_worker
from dicom_service.aws.lease import leased
from dicom_service.aws.sqs_worker import Message, Retry

_LONGEST = 900
# Attempts after which a message has waited for about 20 minutes (1,275 s without the attempts themselves).
_STALLED = 9


class IngestQueue:
    """Delays messages and requeues unfinished work.

    Parameters
    ----------
    url
        The queue.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def lease(self, messages: Sequence[Message]) -> AbstractContextManager[None]:
        """Keep messages from other invocations while they are worked on, and hardly longer if this one is killed."""
        return leased(messages, self._url)

    def delay(self, messages: Mapping[Message, int | None]) -> None:
        """Let failed messages come back soon at first, then ever more rarely, at the latest after 15 minutes.

        Parameters
        ----------
        messages
            With the seconds that the PACS asked for, where it did.
        """
        if any(message.attempts >= _STALLED for message in messages):
            _report_stall()
        self._hide(
            {
                message: round(min(_LONGEST, max(sqs_worker.backoff(message.attempts), asked or 0)))
                for message, asked in messages.items()
            }
        )

    def requeue(self, message: Message) -> bool:
        """Queue the same work anew, with no attempt counted; False where the queue rejects it."""
        return sqs_worker.requeue(message, self._url)

    def _hide(self, seconds: Mapping[Message, int]) -> None:
        sqs_worker.delay({message: Retry(hidden) for message, hidden in seconds.items()}, self._url)


def _report_stall() -> None:
    """Count that files wait for long; `IngestStalledAlarm` watches the metric.

    SQS's own age of the oldest message leaves out messages that were received three times and more.
    """
    metrics.count("IngestStalled")
