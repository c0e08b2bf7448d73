"""The errors of this package.

::

    DicomwebError
    ├── PacsUnreachable         connection refused, reset, name not found, TLS, dropped in mid-answer
    ├── PacsTimeout             connecting, waiting or the whole call took too long
    ├── PacsRejectedCredentials 401, 403, or no token from the token endpoint
    ├── PacsBusy                429 or 503
    ├── PacsFault               another 5xx, or an invalid answer
    ├── NotFound                404, 410, or nothing under that UID
    ├── NotSupported            this PACS does not offer the service
    ├── RequestRejected         another 4xx: the PACS understood the request and rejected it
    ├── BodyUnreadable          the request body could not be read: our side, not the PACS
    └── InvalidUid              not a DICOM UID (also a ValueError)

No message carries patient data or a query: only a status, a known code, the kind of error.
"""

from __future__ import annotations


class DicomwebError(Exception):
    """Base of everything this package raises."""


class PacsUnreachable(DicomwebError):
    """No connection, or it broke before the answer was complete."""


class PacsTimeout(DicomwebError):
    """The PACS did not connect, answer or finish in the time allowed."""


class PacsRejectedCredentials(DicomwebError):
    """The PACS, or the token endpoint in front of it, rejected our credentials."""


class PacsBusy(DicomwebError):
    """The PACS asked to be called again later.

    Parameters
    ----------
    message
        What happened.
    retry_after
        Seconds after which the PACS asked to be called again, where it said so.
    """

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PacsFault(DicomwebError):
    """The PACS failed, or answered something that is not DICOMweb.

    Parameters
    ----------
    message
        What happened.
    status
        HTTP status of the answer, where there was one.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class NotFound(DicomwebError):
    """The PACS has nothing under that UID.

    Parameters
    ----------
    message
        What happened.
    status
        HTTP status of the answer; None where a successful answer was empty.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class NotSupported(DicomwebError):
    """The PACS does not offer this service, or not in this media type.

    Parameters
    ----------
    message
        What happened.
    status
        HTTP status of the answer, where there was one.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class RequestRejected(DicomwebError):
    """The PACS understood the request and rejected it.

    Parameters
    ----------
    message
        What happened.
    status
        HTTP status of the answer.
    reason
        A known code (for example a DICOM failure reason), never text of the PACS.
    """

    def __init__(self, message: str, *, status: int, reason: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class BodyUnreadable(DicomwebError):
    """The bytes to send could not be read, or were not as many as announced."""


class InvalidUid(DicomwebError, ValueError):
    """The value is not a DICOM UID (PS3.5 section 9.1) and must not reach a path or URL."""
