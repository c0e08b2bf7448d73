"""Retries of requests to AWS: what the SDK is told to retry, and the one policy for what it does not retry itself.

The SDK retries throttled requests and server errors, by `SDK_MODE`. We retry what it does not: writes whose
items another writer holds, transactions cancelled because an item was throttled, and the part of a batch that DynamoDB
left out.
"""

import random
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from botocore.exceptions import ClientError

from dicom_service.aws.errors import is_busy

T = TypeVar("T")

SDK_MODE: Final = "standard"
"""How each client retries: throttled requests, errors of the server, broken connections, with growing pauses."""

SDK_RETRIES: Final = 4
"""How often, after the first attempt."""

_ATTEMPTS = 12
_LONGEST_PAUSE = 1.0


def tries(most: int = _ATTEMPTS) -> Iterator[int]:
    """Yield the numbers of attempts from 0 on, with a random and growing pause before each but the first.

    For contention and for batches done in part; the SDK retries throttled requests itself.
    """
    for attempt in range(most):
        if attempt:
            pause(attempt - 1)
        yield attempt


def pause(attempt: int) -> None:
    """Wait after an attempt: 20 ms at most after the first, twice as long after each further one, at most 1 s."""
    time.sleep(random.uniform(0, min(_LONGEST_PAUSE, 0.02 * 2**attempt)))  # noqa: S311  (spreads callers, guards nothing)


def patiently(call: Callable[[], T]) -> T:
    """Retry a write while other writers hold its items, or while DynamoDB throttles a part of its transaction."""
    for attempt in range(_ATTEMPTS - 1):
        try:
            return call()
        except ClientError as error:
            if not is_busy(error):
                raise
        pause(attempt)
    return call()
