"""Connections with a total deadline, which are not reused when the PACS is about to close them.

``requests`` bounds each single wait for the socket, so a server that sends one byte now and then could hold a call
forever. Here every wait also ends at the deadline of the whole call.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import HTTPResponse

from dicomweb.errors import PacsTimeout

_POOL_SIZE = 16
_HANG_UP_MARGIN = 0.3
_KEEP_ALIVE = re.compile(r"timeout=(\d+)", re.IGNORECASE)


class Deadline:
    """The time by which a call must end, and the longest single wait until then.

    Parameters
    ----------
    wait
        Longest single wait, seconds.
    total
        Time for the whole call from now on, seconds.
    clock
        Monotonic clock, seconds.
    """

    def __init__(self, wait: float, total: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._wait = wait
        self._clock = clock
        self.at = clock() + total

    def remaining(self) -> float:
        """Seconds left; negative once it has passed."""
        return self.at - self._clock()

    def next_wait(self, longest: float | None = None) -> float:
        """Seconds that the next wait may take.

        Raises
        ------
        PacsTimeout
            When the deadline has passed.
        """
        remaining = self.remaining()
        if remaining <= 0:
            raise PacsTimeout("the PACS did not finish within the time for the whole call")
        return min(self._wait if longest is None else longest, remaining)


_current: ContextVar[Deadline | None] = ContextVar("dicomweb_deadline", default=None)


def current_deadline() -> Deadline | None:
    """Return the deadline of the current call; fetching a token for it counts against it too."""
    return _current.get()


@contextlib.contextmanager
def deadline_scope(deadline: Deadline) -> Iterator[None]:
    """Apply the deadline to every connection used inside."""
    token = _current.set(deadline)
    try:
        yield
    finally:
        _current.reset(token)


class _TimedReader(io.RawIOBase):
    """Reads a socket with the time left until the deadline as the timeout of each read."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: Deadline) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._deadline.next_wait())
        return self._raw.readinto(buffer)

    def fileno(self) -> int:
        return self._raw.fileno()

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        deadline = _current.get()
        if deadline is not None:
            self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), sock, deadline))


class _TimedConnection(HTTPConnection):
    response_class = _TimedResponse
    _hangs_up_after: float | None = None
    _last_used = 0.0

    @property
    def is_connected(self) -> bool:
        """False also when the server is about to close it, as announced by ``Keep-Alive: timeout=N``."""
        limit = self._hangs_up_after
        if limit is not None and time.monotonic() - self._last_used > limit:
            return False
        return super().is_connected

    def connect(self) -> None:
        self._hangs_up_after = None
        super().connect()

    def send(self, data: Any) -> None:
        # Otherwise the connect timeout would also bound each piece of the body.
        deadline = _current.get()
        if deadline is not None:
            if self.sock is None:
                self.connect()
            self.sock.settimeout(deadline.next_wait())
        super().send(data)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 does
        response = super().getresponse()
        announced = _KEEP_ALIVE.search(response.headers.get("Keep-Alive", ""))
        if announced:
            self._hangs_up_after = max(float(announced[1]) - _HANG_UP_MARGIN, 0.0)
        self._last_used = time.monotonic()
        return response


class _TimedSecureConnection(_TimedConnection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _TimedConnection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _TimedSecureConnection


class PacsAdapter(HTTPAdapter):
    """Reuses connections and keeps every wait within the deadline of the call."""

    def __init__(self) -> None:
        super().__init__(pool_connections=4, pool_maxsize=_POOL_SIZE)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Use the connections of this module."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        """Return the answer without its cookies, which nobody sends back, and without guessing an encoding."""
        response = Response()
        response.status_code, response.headers = resp.status, CaseInsensitiveDict(resp.headers)
        response.raw, response.url = resp, req.url or ""
        return response
