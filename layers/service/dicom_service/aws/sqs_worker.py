"""Processes an SQS batch: each message is done, retried with backoff, or moved to the dead-letter queue."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dicom_service import log
from dicom_service.aws import clients
from dicom_service.aws.errors import tolerated
from dicom_service.errors import ServiceError
from dicom_service.isolation import UnexpectedError, isolate

logger = log.get_logger()

# SQS hides a message for 12 h at most, counted from when it was received.
LONGEST_WAIT = 12 * 3600 - 300
# Receive count at which an unexpected error moves a message to the dead-letter queue.
UNEXPECTED_TRIES = 10
# Messages whose visibility one request changes.
_BATCH = 10


@dataclass(frozen=True)
class Done:
    """Nothing is left to do."""


@dataclass(frozen=True)
class Retry:
    """The message has to come again.

    Parameters
    ----------
    seconds
        Not before so many; None: when the queue's visibility timeout ends.
    """

    seconds: float | None


@dataclass(frozen=True)
class DeadLetter:
    """Another attempt makes no sense; the message goes to the dead-letter queue, where the alarm looks.

    Parameters
    ----------
    code
        Why, for the log.
    """

    code: str


Outcome = Done | Retry | DeadLetter
Handle = Callable[[Any, int], Outcome]


@dataclass(frozen=True)
class Queues:
    """A queue and its dead-letter queue."""

    url: str
    dead_letters_url: str


@dataclass(frozen=True)
class Message:
    """A queue message and how often it has been received, 1 the first time."""

    message_id: str
    receipt_handle: str
    attempts: int
    body: str


def backoff(attempt: int) -> float:
    """Return the seconds to wait after an attempt: 5, 10, 20 … 900, give or take a quarter."""
    seconds: float = min(900.0, 5.0 * 2 ** min(attempt - 1, 10))
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311  (spreads callers, guards nothing)


def read_messages(event: Mapping[str, Any]) -> list[Message]:
    """Read the records of an SQS event."""
    return [
        Message(
            message_id=record["messageId"],
            receipt_handle=record["receiptHandle"],
            attempts=int(record["attributes"]["ApproximateReceiveCount"]),
            body=record["body"],
        )
        for record in event["Records"]
    ]


def process_batch(event: Mapping[str, Any], queues: Queues, handle: Handle) -> dict[str, Any]:
    """Handle the messages of a batch one by one and return the partial batch response.

    Parameters
    ----------
    event
        What Lambda brings.
    queues
        Where the messages are from.
    handle
        Does the work: takes the message's JSON and how often it has been received, 1 the first time. Where it raises a
        ServiceError, the message is retried; any other exception is retried too and, after UNEXPECTED_TRIES receives,
        dead-lettered. The other messages of the batch are unaffected.
    """
    left = []
    for message in read_messages(event):
        outcome = _outcome(message, handle)
        if isinstance(outcome, DeadLetter):
            logger.error("moved to the dead letters", extra={"code": outcome.code})
            if not requeue(message, queues.dead_letters_url):
                outcome = Retry(None)
        if isinstance(outcome, Retry):
            delay({message: outcome}, queues.url)
            left.append(message)
    return batch_response(left)


def batch_response(left: Sequence[Message]) -> dict[str, Any]:
    """Return the partial batch response (``ReportBatchItemFailures``) that leaves these messages in the queue."""
    return {"batchItemFailures": [{"itemIdentifier": message.message_id} for message in left]}


def delay(retries: Mapping[Message, Retry], queue_url: str) -> None:
    """Let messages come back when their retries say, or, where the queue rejects that, when their visibility ends."""
    entries: list[Any] = [
        {
            "Id": str(number),
            "ReceiptHandle": message.receipt_handle,
            "VisibilityTimeout": min(LONGEST_WAIT, max(0, round(retry.seconds))),
        }
        for number, (message, retry) in enumerate(retries.items())
        if retry.seconds is not None
    ]
    for start in range(0, len(entries), _BATCH):
        with tolerated("messages keep their visibility timeout"):
            clients.sqs().change_message_visibility_batch(QueueUrl=queue_url, Entries=entries[start : start + _BATCH])


def requeue(message: Message, queue_url: str) -> bool:
    """Send a message's body to a queue, as a new message; False where the queue rejects it."""
    with tolerated("the queue rejects"):
        clients.sqs().send_message(QueueUrl=queue_url, MessageBody=message.body)
        return True
    return False


def _outcome(message: Message, handle: Handle) -> Outcome:
    try:
        content = json.loads(message.body)
    except (ValueError, RecursionError):
        return DeadLetter("NOT_JSON")
    try:
        return isolate(lambda: handle(content, message.attempts))
    except UnexpectedError as error:
        too_many = message.attempts >= UNEXPECTED_TRIES
        return DeadLetter(error.code) if too_many else Retry(backoff(message.attempts))
    except ServiceError as error:
        logger.warning("put off", extra={"code": error.code, "attempt": message.attempts, **log.describe(error)})
        return Retry(backoff(message.attempts))
