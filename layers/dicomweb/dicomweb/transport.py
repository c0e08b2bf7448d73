"""HTTP calls to a PACS: connection reuse, deadlines, retries, redirects, and errors of this package.

QIDO-RS, WADO-RS, STOW-RS and the worklist protocols all speak through :class:`Transport`.
"""

from __future__ import annotations

import contextlib
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import AuthBase

from dicomweb._connection import Deadline, PacsAdapter, current_deadline, deadline_scope
from dicomweb._mapping import mapped_errors, never_connected, retry_after
from dicomweb.body import Body, BodyIterator
from dicomweb.errors import PacsFault, PacsTimeout, PacsUnreachable
from dicomweb.response import Response

__all__ = ["DICOM_JSON", "Body", "RenewableAuth", "Response", "Timeouts", "Transport"]

DICOM_JSON = "application/dicom+json"

_HEADERS = {
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "Connection": "keep-alive",  # Orthanc hangs up without it, though it is the default of HTTP/1.1.
    "User-Agent": requests.utils.default_user_agent(),
}
_MAX_REDIRECTS = 3
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_RETRIED: Final = {True: frozenset((429, 503)), False: frozenset((429, 502, 503, 504))}
_LONGEST_RETRY_AFTER = 5
_FIRST_PAUSE = 0.1
# What requests would send as it is: no name to translate, nothing to quote, no password, no "..". Escapes of characters
# that need none, which it takes away, are not among these.
_ESCAPE = r"%(?!2[DE]|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])[0-9A-F]{2}"
_READY_URL = re.compile(
    rf"https?://[a-z0-9][a-z0-9.-]*(:[1-9][0-9]{{0,4}})?/(?!.*/\.|\.)(?:[A-Za-z0-9._~/&=,*:+-]|\?(?!$)|{_ESCAPE})*"
)


@dataclass(frozen=True)
class Timeouts:
    """How long to wait for a PACS.

    Parameters
    ----------
    connect
        To open a connection, seconds.
    read
        Longest single wait for bytes, either way, seconds.
    total
        Whole call with all its retries, from the first byte sent to the last byte read, seconds.
    """

    connect: float = 3.05
    read: float = 20.0
    total: float = 25.0


@runtime_checkable
class RenewableAuth(Protocol):
    """Credentials that may be worth a second try after a 401."""

    def renew(self) -> bool:
        """Forget the rejected credentials; return whether the request may be tried again."""


class Transport:
    """Sends requests to one PACS; failures raise the errors of this package. Construction does no I/O.

    Safe to use from several threads.

    Parameters
    ----------
    auth
        Credentials, see :func:`dicomweb.auth.make_auth`.
    timeouts
        Limits of every call.
    verify
        False to trust any certificate, or the path of a CA bundle.
    cert
        Paths of the client certificate and its key.
    max_retries
        How often a call is repeated after its first try.
    max_redirects
        How many redirects are followed in a row.
    sleep
        Pauses between tries.
    """

    def __init__(
        self,
        *,
        auth: AuthBase | None = None,
        timeouts: Timeouts | None = None,
        verify: bool | str = True,
        cert: tuple[str, str] | None = None,
        max_retries: int = 2,
        max_redirects: int = _MAX_REDIRECTS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._auth = auth
        self._timeouts = timeouts or Timeouts()
        self._verify = verify
        self._cert = cert
        self._max_retries = max_retries
        self._max_redirects = max_redirects
        # Without a session of requests: it would keep cookies, read the environment, and cost as much as the rest.
        self._adapter = PacsAdapter()
        self._sleep = sleep

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        idempotent: bool | None = None,
        stream: bool = False,
    ) -> Response:
        """Send a request and return the answer, whatever its status.

        Idempotent requests are tried again after a broken connection or when the PACS is busy for a moment; each try
        is signed anew and sends its body from the start. Any request is tried again when no connection came about, and
        once after a 401 when the credentials could be renewed. Redirects are followed only without a body; credentials
        stay with the host they are for.

        Parameters
        ----------
        method, url, headers, body
            The request. The URL is absolute and its query is encoded already.
        idempotent
            Whether sending it twice does no harm; by default True for GET and HEAD only.
        stream
            Leave the body of the answer unread: the caller iterates it and closes the response.

        Raises
        ------
        PacsUnreachable, PacsTimeout, PacsFault
            No answer, or one that cannot be used.
        PacsRejectedCredentials, PacsBusy
            From the token endpoint.
        BodyUnreadable
            The body could not be read, or its length is wrong.
        """
        may_repeat = method in ("GET", "HEAD") if idempotent is None else idempotent
        deadline = self._deadline()
        renewed = False
        tries = 0
        with deadline_scope(deadline):
            while True:
                last = tries >= self._max_retries
                try:
                    response = self._follow(method, url, headers or {}, body, stream, deadline)
                except (PacsUnreachable, PacsTimeout) as error:
                    if last or not _worth_repeating(error, may_repeat):
                        raise
                    pause = _pause(tries)
                    if pause >= deadline.remaining():
                        raise
                else:
                    if response.status == 401 and not renewed and self._renew():
                        renewed = True
                        response.close()
                        continue
                    wait = _busy_pause(response, tries, body is not None)
                    if last or not may_repeat or wait is None or wait >= deadline.remaining():
                        return response
                    response.close()
                    pause = wait
                self._sleep(pause)
                tries += 1

    def get_json(self, url: str, *, headers: Mapping[str, str] | None = None) -> Any:
        """Fetch and parse a JSON document; None for an answer without content.

        Parameters
        ----------
        url
            Absolute URL, its query encoded already.
        headers
            Further headers; Accept asks for DICOM JSON unless given here.
        """
        response = self.request("GET", url, headers={"Accept": DICOM_JSON, **(headers or {})})
        response.raise_for_status()
        return response.json() if response.content.strip() else None

    @contextlib.contextmanager
    def shared_deadline(self, share: float = 1.0) -> Iterator[None]:
        """Make all requests inside share the time of one call, or the rest of the enclosing one's.

        Parameters
        ----------
        share
            The part of that time that they may use, 0 to 1.
        """
        with deadline_scope(self._deadline(share)):
            yield

    def close(self) -> None:
        """Close the idle connections."""
        self._adapter.close()

    def _deadline(self, share: float = 1.0) -> Deadline:
        outer = current_deadline()
        total = self._timeouts.total if outer is None else min(self._timeouts.total, outer.remaining())
        return Deadline(self._timeouts.read, total * share)

    def _renew(self) -> bool:
        return isinstance(self._auth, RenewableAuth) and self._auth.renew()

    def _follow(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body | None,
        stream: bool,
        deadline: Deadline,
    ) -> Response:
        auth = self._auth
        for _ in range(self._max_redirects + 1):
            response = self._send(method, url, headers, body, auth, deadline)
            if body is not None or response.status not in _REDIRECTS or "Location" not in response.headers:
                if not stream:
                    response.read()
                return response
            response.close()
            url, same_host = _redirected(response)
            auth = auth if same_host else None
        raise PacsFault("the PACS redirects in circles", status=response.status)

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body | None,
        auth: AuthBase | None,
        deadline: Deadline,
    ) -> Response:
        all_headers = {**_HEADERS, **headers}
        if body is not None:
            all_headers["Content-Type"] = body.content_type
        with mapped_errors():
            raw = self._adapter.send(
                _prepared(method, url, all_headers, auth, BodyIterator(body) if body and body.length else None),
                stream=True,
                timeout=(deadline.next_wait(self._timeouts.connect), deadline.next_wait()),
                verify=self._verify,
                cert=self._cert,
            )
        return Response(raw)


def _prepared(
    method: str, url: str, headers: Mapping[str, str], auth: AuthBase | None, data: BodyIterator | None
) -> requests.PreparedRequest:
    """Return the request as ``requests`` prepares it, but without taking apart an address that it would not change."""
    if not _READY_URL.fullmatch(url):
        return requests.Request(method, url, headers=headers, auth=auth, data=data).prepare()
    request = requests.PreparedRequest()
    request.method, request.url, request.body = method, url, data  # type: ignore[assignment]  # any iterable is sent
    request.prepare_headers(headers)
    request.prepare_content_length(data)  # type: ignore[arg-type]  # its len() counts
    return auth(request) if auth else request


def _redirected(response: Response) -> tuple[str, bool]:
    """Where an answer redirects to, and whether credentials may go there: the same scheme, host and port only."""
    try:
        target = urljoin(response.url, response.headers["Location"])
        here, there = urlsplit(response.url), urlsplit(target)
        return target, (here.scheme, here.hostname, here.port) == (there.scheme, there.hostname, there.port)
    except ValueError as error:
        raise PacsFault("the PACS redirects to nowhere", status=response.status) from error


def _worth_repeating(error: Exception, may_repeat: bool) -> bool:
    if never_connected(error):
        return True
    if isinstance(error, PacsTimeout) or isinstance(error.__cause__, requests.exceptions.SSLError):
        return False
    return may_repeat


def _pause(tries: int) -> float:
    """Seconds before the next try: growing, with jitter so that callers do not retry in step."""
    longest = _FIRST_PAUSE * 2.0**tries
    return random.uniform(longest / 2, longest)  # noqa: S311 - not for security


def _busy_pause(response: Response, tries: int, has_body: bool) -> float | None:
    """Seconds to wait before a retry; None when the answer is final."""
    if response.status not in _RETRIED[has_body]:
        return None
    wanted = retry_after(response.headers)
    if wanted is None:
        return _pause(tries)
    return float(wanted) + _pause(tries) if wanted <= _LONGEST_RETRY_AFTER else None
