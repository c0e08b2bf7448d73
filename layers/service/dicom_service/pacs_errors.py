"""Errors of the PACS as callers of the service get them, each with its HTTP status and code."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from dicom_service import errors, metrics
from dicomweb.errors import (
    BodyUnreadable,
    DicomwebError,
    InvalidUid,
    NotFound,
    NotSupported,
    PacsBusy,
    PacsRejectedCredentials,
    PacsTimeout,
    PacsUnreachable,
    RequestRejected,
)


def count_pacs_error(error: DicomwebError) -> None:
    """Count an error of the PACS as what the alarms tell apart: it does not answer, or answers wrongly."""
    metrics.count("PacsUnreachable" if isinstance(error, PacsUnreachable | PacsTimeout) else "PacsErrors")


_MAPPING: tuple[tuple[type[DicomwebError], int, str, str], ...] = (
    (PacsUnreachable, 502, "PACS_UNREACHABLE", "The PACS cannot be reached; try again later."),
    (PacsTimeout, 504, "PACS_TIMEOUT", "The PACS takes too long; try again later or request less."),
    (
        PacsRejectedCredentials,
        502,
        "PACS_REFUSED_CREDENTIALS",
        "The PACS rejects this service's credentials; contact the operator.",
    ),
    (NotSupported, 502, "PACS_NOT_SUPPORTED", "This PACS does not support that; contact the operator."),
    (RequestRejected, 502, "PACS_ERROR", "The PACS rejects the request; contact the operator."),
    (DicomwebError, 502, "PACS_ERROR", "The PACS failed or sent an invalid answer; try again or contact the operator."),
)


@contextmanager
def pacs_errors(missing: str = "The PACS does not hold it.", *, timed: bool = True) -> Iterator[None]:
    """Map the client's errors to this service's; a failure of the PACS is never reported as the caller's error.

    Parameters
    ----------
    missing
        The detail sent to the caller where the PACS answers 404.
    timed
        Whether the time of the block is recorded as the PACS's; not where other stores are waited for in it.

    Raises
    ------
    NotFound
        The PACS does not hold what the path names.
    PacsError
        502, 503 or 504, by the kind of error.
    BadRequest
        A UID is malformed.
    Unavailable
        The file to store could not be read: our failure, not the PACS's.
    """
    started = time.monotonic()
    try:
        yield
        if timed:
            metrics.seconds("PacsSeconds", time.monotonic() - started)
    except NotFound as error:
        raise errors.NotFound(missing) from error
    except InvalidUid as error:
        raise errors.BadRequest("The path contains a malformed UID.", code="INVALID_UID") from error
    except BodyUnreadable as error:
        raise errors.Unavailable("The file to store cannot be read at the moment; try again.") from error
    except PacsBusy as error:
        headers = {"Retry-After": str(error.retry_after or 5)}
        detail = "The PACS is busy; try again after the time in Retry-After."
        raise errors.PacsError(detail, status=503, code="PACS_BUSY", headers=headers) from error
    except DicomwebError as error:
        count_pacs_error(error)
        _, status, code, detail = next(row for row in _MAPPING if isinstance(error, row[0]))
        raise errors.PacsError(detail, status=status, code=code) from error
