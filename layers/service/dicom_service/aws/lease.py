"""Leases on queue messages: hidden while a function works on them, and back soon if it is killed."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dicom_service.aws.sqs_worker import Message, Retry, delay

# Seconds of a lease, and after how many it is renewed.
LEASE, RENEWAL = 120, 40


@contextmanager
def leased(messages: Sequence[Message], queue_url: str) -> Iterator[None]:
    """Keep messages from other invocations while they are worked on, and hardly longer if this one is killed.

    The queue's own visibility timeout must exceed the function's, which is far too long for that.
    """
    over = threading.Event()
    hidden = dict.fromkeys(messages, Retry(LEASE))

    def renew() -> None:
        while not over.wait(RENEWAL):
            delay(hidden, queue_url)

    delay(hidden, queue_url)
    renewing = threading.Thread(target=renew, daemon=True)
    renewing.start()
    try:
        yield
    finally:
        over.set()
        renewing.join()
