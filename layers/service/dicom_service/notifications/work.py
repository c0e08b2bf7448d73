"""Working off an SQS batch whose messages may have to wait: done, looked at again later, or set aside for a person."""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dicom_service import attempts, aws, log
from dicom_service.errors import ServiceError

logger = log.get_logger()

# SQS hides a message for 12 h at most, counted from when it was received.
LONGEST_WAIT = 12 * 3600 - 300
# How often a message has come when an error that nobody foresaw sets it aside.
UNFORESEEN_TRIES = 10


@dataclass(frozen=True)
class Done:
    """Nothing is left to do."""


@dataclass(frozen=True)
class Again:
    """The message has to come again.

    Parameters
    ----------
    seconds
        Not before so many.
    """

    seconds: float


@dataclass(frozen=True)
class SetAside:
    """Trying on makes no sense; the message goes to the dead-letter queue, where the alarm looks.

    Parameters
    ----------
    code
        Why, for the log.
    """

    code: str


Outcome = Done | Again | SetAside
Look = Callable[[Mapping[str, Any], int], Outcome]


def backoff(attempt: int) -> float:
    """Give the seconds to wait after an attempt: 5, 10, 20 … 900, give or take a quarter."""
    seconds: float = min(900.0, 5.0 * 2 ** min(attempt - 1, 10))
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311


@dataclass(frozen=True)
class Queues:
    """A queue and where its hopeless messages go."""

    url: str
    dead_letters_url: str


def work_off(event: Mapping[str, Any], queues: Queues, look: Look) -> dict[str, Any]:
    """Look at each message of a batch and give the partial batch response.

    Parameters
    ----------
    event
        What Lambda brings.
    queues
        Where the messages are from.
    look
        Does the work: takes the message's JSON and how often it has been received, 1 the first time. Where it raises a
        ServiceError the message comes again; where it raises anything else too, and is set aside after some tries. The
        others of the batch do not notice.
    """
    failures = []
    for record in event["Records"]:
        attempt = int(record["attributes"]["ApproximateReceiveCount"])
        if not _settle(record, queues, _look(record, attempt, look)):
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


def _look(record: Mapping[str, Any], attempt: int, look: Look) -> Outcome:
    try:
        message = json.loads(record["body"])
    except (ValueError, RecursionError):
        return SetAside("NOT_JSON")
    try:
        return attempts.attempt(lambda: look(message, attempt))
    except attempts.Unforeseen as error:
        return SetAside(error.code) if attempt >= UNFORESEEN_TRIES else Again(backoff(attempt))
    except ServiceError as error:
        logger.warning("put off", extra={"code": error.code, "attempt": attempt, **log.describe(error)})
        return Again(backoff(attempt))


def _settle(record: Mapping[str, Any], queues: Queues, outcome: Outcome) -> bool:
    """Do what the outcome asks of the queue; say whether the message is finished with."""
    try:
        if isinstance(outcome, Again):
            seconds = min(LONGEST_WAIT, max(0, round(outcome.seconds)))
            aws.sqs().change_message_visibility(
                QueueUrl=queues.url, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=seconds
            )
        if isinstance(outcome, SetAside):
            logger.error("set aside", extra={"code": outcome.code})
            aws.sqs().send_message(QueueUrl=queues.dead_letters_url, MessageBody=record["body"])
    except (BotoCoreError, ClientError) as error:
        # The message comes again by itself when its visibility timeout ends.
        logger.warning("the queue refuses", extra=log.describe(error))
        return False
    return not isinstance(outcome, Again)
