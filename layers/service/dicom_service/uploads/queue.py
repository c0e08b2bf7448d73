"""The ingest queue, as far as the function itself steers it: how long a message rests until it is tried again."""

import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from dicom_service.log import describe, get_logger
from dicom_service.uploads.staged import Message

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = get_logger()

_SHORTEST, _LONGEST = 5, 900
# A message is taken for so many seconds, renewed while it is worked on: what a killed worker leaves is back soon.
_TAKEN, _RENEWED = 120, 40
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

    @contextmanager
    def taken(self, messages: Sequence[Message]) -> Iterator[None]:
        """Keep messages from other invocations while they are worked on, and hardly longer if this one is killed.

        The queue's own visibility timeout must exceed the longest transfer, which is far too long for that.
        """
        seconds = dict.fromkeys(messages, _TAKEN)
        over = threading.Event()

        def renew() -> None:
            while not over.wait(_RENEWED):
                self._show_in(seconds)

        self._show_in(seconds)
        renewing = threading.Thread(target=renew, daemon=True)
        renewing.start()
        try:
            yield
        finally:
            over.set()
            renewing.join()

    def rest(self, messages: Mapping[Message, int | None]) -> None:
        """Let failed messages come back soon at first, then ever more rarely, at the latest after 15 minutes.

        Parameters
        ----------
        messages
            With the seconds that the PACS asked for, where it did.
        """
        self._show_in(
            {message: min(_LONGEST, max(_delay(message.attempts), asked or 0)) for message, asked in messages.items()}
        )

    def _show_in(self, seconds: Mapping[Message, int]) -> None:
        entries: list[Any] = [
            {"Id": str(number), "ReceiptHandle": message.receipt_handle, "VisibilityTimeout": shown_in}
            for number, (message, shown_in) in enumerate(seconds.items())
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
