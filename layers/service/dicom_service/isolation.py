"""Isolates the messages and records of a batch from each other: an unexpected error fails one of them alone.

This is the only module that catches every exception. The others of a batch must not wait for one whose content breaks
something; the caller retries that one and, after some attempts, moves it to the dead-letter queue.
"""

from collections.abc import Callable
from typing import TypeVar

from dicom_service import log
from dicom_service.errors import ServiceError

T = TypeVar("T")

logger = log.get_logger()


class UnexpectedError(ServiceError):
    """A message or record failed with an unexpected exception; its name is in the log."""


def isolate(work: Callable[[], T]) -> T:
    """Return the result of `work`, the processing of one message or record.

    Raises
    ------
    UnexpectedError
        In place of any exception that is not a ServiceError.
    """
    try:
        return work()
    except ServiceError:
        raise
    except Exception as error:
        logger.error("unexpected error", extra=log.describe(error))
        raise UnexpectedError("This piece of work failed with an unexpected error.") from error
