"""One piece of work among others: what nobody foresaw fails for that piece alone.

The one place that catches every exception: where a batch of messages or records is worked off, the others must not wait
for one whose content breaks something. The caller retries the piece and sets it aside after some attempts.
"""

from collections.abc import Callable
from typing import TypeVar

from dicom_service import log
from dicom_service.errors import ServiceError

T = TypeVar("T")

logger = log.get_logger()


class Unforeseen(ServiceError):
    """A piece of work failed with an exception that is nobody's answer; its name is in the log."""


def attempt(work: Callable[[], T]) -> T:
    """Do a piece of work.

    Raises
    ------
    Unforeseen
        In place of any exception that is not a ServiceError.
    """
    try:
        return work()
    except ServiceError:
        raise
    except Exception as error:
        logger.error("unforeseen error", extra=log.describe(error))
        raise Unforeseen("This piece of work failed with an error that nobody foresaw.") from error
