"""The ingest queue, as far as the function itself steers it: how long a message rests until it is tried again."""

import random
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from dicom_service.log import describe, get_logger
from dicom_service.uploads.staged import Message

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = get_logger()

_SHORTEST, _LONGEST = 5, 900
_AT_ONCE = 10


class IngestQueue:
    """Lets messages rest, and hands work on.

    Parameters
    ----------
    client
        The SQS client.
    url
        The queue.
    """

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def rest(self, messages: dict[Message, int | None]) -> None:
        """Let failed messages come back soon at first, then ever more rarely, at the latest after 15 minutes.

        Without it each would be gone for the queue's visibility timeout, which must exceed the longest transfer.

        Parameters
        ----------
        messages
            With the seconds that the PACS asked for, where it did.
        """
        entries: list[Any] = [
            {
                "Id": str(number),
                "ReceiptHandle": message.receipt_handle,
                "VisibilityTimeout": min(_LONGEST, max(_delay(message.attempts), asked or 0)),
            }
            for number, (message, asked) in enumerate(messages.items())
        ]
        for start in range(0, len(entries), _AT_ONCE):
            try:
                self._client.change_message_visibility_batch(
                    QueueUrl=self._url, Entries=entries[start : start + _AT_ONCE]
                )
            except (BotoCoreError, ClientError) as error:
                # The message then comes back after the visibility timeout: later, but it comes.
                logger.warning("message keeps its visibility timeout", extra=describe(error))

    def hand_on(self, message: Message) -> bool:
        """Put the same work into the queue again, untried; False where the queue refuses."""
        try:
            self._client.send_message(QueueUrl=self._url, MessageBody=message.body)
        except (BotoCoreError, ClientError) as error:
            logger.warning("work is not handed on", extra=describe(error))
            return False
        return True


def _delay(attempts: int) -> int:
    longest: int = min(_LONGEST, _SHORTEST * 2 ** min(attempts - 1, 10))
    return random.randint(longest * 3 // 4, longest)  # noqa: S311
