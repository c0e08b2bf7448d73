"""Maps exceptions of requests and HTTP statuses to the errors of this package, in this one place."""

from __future__ import annotations

import contextlib
import datetime
import email.utils
from collections.abc import Iterator, Mapping

import requests
import urllib3.exceptions

from dicomweb.errors import (
    DicomwebError,
    NotFound,
    NotSupported,
    PacsBusy,
    PacsFault,
    PacsRejectedCredentials,
    PacsTimeout,
    PacsUnreachable,
    RequestRejected,
)

_UNUSABLE_URL = (
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    urllib3.exceptions.LocationValueError,
)
_GARBLED = (
    requests.exceptions.ContentDecodingError,
    urllib3.exceptions.DecodeError,
)


@contextlib.contextmanager
def mapped_errors() -> Iterator[None]:
    """Turn what requests and urllib3 raise inside into this package's errors.

    Raises
    ------
    PacsTimeout
        A wait took too long.
    PacsUnreachable
        No connection, or a broken one.
    PacsFault
        The answer cannot be decoded, or redirects to an invalid URL.
    """
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise _mapped(error) from error


def _mapped(error: Exception) -> DicomwebError:
    if isinstance(error, _UNUSABLE_URL):
        return PacsFault("the address of the PACS, or one it redirects to, is no usable URL")
    if isinstance(error, _GARBLED):
        return PacsFault("the answer of the PACS cannot be decoded")
    if any(_is_timeout(link) for link in _chain(error)):
        return PacsTimeout("the PACS did not answer in time")
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
        return PacsUnreachable("no trusted TLS connection to the PACS")
    return PacsUnreachable("the connection to the PACS failed or broke")


def _is_timeout(error: BaseException) -> bool:
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return False  # connection refused or unknown name, though urllib3 derives it from its timeouts
    return isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError | TimeoutError)


def never_connected(error: BaseException) -> bool:
    """Return whether no connection was established, so that nothing can have been sent."""
    failures = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
    return any(isinstance(link, failures) for link in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and its causes; requests hides timeouts in arguments."""
    link: BaseException | None = error
    for _ in range(8):
        if link is None:
            return
        yield link
        inner = next((argument for argument in reversed(link.args) if isinstance(argument, BaseException)), None)
        link = inner or link.__cause__ or link.__context__


def error_for_status(status: int, headers: Mapping[str, str]) -> DicomwebError | None:
    """Return the error that an HTTP status means, None for success.

    Parameters
    ----------
    status
        HTTP status.
    headers
        Headers of the answer, names in any case.
    """
    if 200 <= status < 300:
        return None
    if status in (401, 403, 407):
        return PacsRejectedCredentials(f"the PACS rejected our credentials (HTTP {status})")
    if status in (404, 410):
        return NotFound(f"the PACS has nothing there (HTTP {status})", status=status)
    if status in (405, 406, 415, 501):
        return NotSupported(f"the PACS does not offer this (HTTP {status})", status=status)
    if status in (429, 503):
        return PacsBusy(f"the PACS is busy (HTTP {status})", retry_after=retry_after(headers))
    if status in (408, 504):
        return PacsTimeout(f"the PACS, or a gateway before it, gave up waiting (HTTP {status})")
    if 400 <= status < 500:
        return RequestRejected(f"the PACS rejected the request (HTTP {status})", status=status)
    return PacsFault(f"the PACS failed (HTTP {status})", status=status)


def retry_after(headers: Mapping[str, str]) -> int | None:
    """Read Retry-After (RFC 9110 section 10.2.3), a number of seconds or a date, as seconds from now."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return int(value[:9])
    moment = email.utils.parsedate_tz(value) if value else None
    if moment is None:
        return None
    now = datetime.datetime.now(datetime.UTC).timestamp()
    return max(0, round(email.utils.mktime_tz(moment) - now))
