"""A forward proxy between a browser and the stack: counts what is sent, serves a page of another origin, can be cut."""

import http.client
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from tests.support.loopback import Loopback, LoopbackHandler

_CHUNK = 1 << 18
_HOP = {"connection", "proxy-connection", "keep-alive", "transfer-encoding", "content-length"}


class CountingProxy(Loopback):
    """A context manager; a browser context takes `options` as its proxy.

    Parameters
    ----------
    pages
        Files of the page by name: media type and bytes; served at `host`.
    headers
        Of each of them.

    Attributes
    ----------
    sent
        Bytes of bodies by path that came from the browser, whole or not.
    taken
        Requests with a body by path that were answered 2xx.
    methods
        Requests by method and first folder of the path.
    first_byte
        When the first byte of a body came, by path (`time.monotonic`).
    rate
        Bytes a second that the line takes; None for all.
    """

    host = "desk.localhost"

    def __init__(self, pages: Mapping[str, tuple[str, bytes]], headers: Mapping[str, str]) -> None:
        self.pages, self.headers = pages, headers
        self.sent: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()
        self.methods: Counter[tuple[str, str]] = Counter()
        self.first_byte: dict[str, float] = {}
        self.is_cut = False
        self.refused = 0
        self.rate: float | None = None
        self._due = 0.0
        self.lock = threading.Lock()
        self.live: set[socket.socket] = set()
        super().__init__(type("Handler", (_Handler,), {"proxy": self}))

    def options(self, *, bypass: str = "<-loopback>") -> Any:
        """Return the proxy settings of a browser context; `bypass` may name hosts that it goes to directly."""
        return {"server": self.url, "bypass": bypass}

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Break all connections, and take none for as long as this lasts."""
        with self.lock:
            self.is_cut = True
            for connection in self.live:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        yield
        self.is_cut = False

    def pace(self, count: int) -> None:
        """Hold so many bytes back for as long as the line takes for them."""
        if self.rate:
            with self.lock:
                self._due = max(self._due, time.monotonic()) + count / self.rate
                due = self._due
            time.sleep(max(0, due - time.monotonic()))

    def to_storage(self, prefix: str) -> dict[str, int]:
        """Return the bytes by path below a prefix."""
        with self.lock:
            return {path: count for path, count in self.sent.items() if path.startswith(prefix)}


class _Handler(LoopbackHandler):
    proxy: CountingProxy

    def setup(self) -> None:
        super().setup()
        self._behind: http.client.HTTPConnection | None = None
        with self.proxy.lock:
            self.proxy.live.add(self.connection)

    def finish(self) -> None:
        with self.proxy.lock:
            self.proxy.live.discard(self.connection)
        if self._behind:
            self._behind.close()
        with suppress(OSError):
            super().finish()

    def handle(self) -> None:
        with suppress(OSError):
            super().handle()

    def _forward(self) -> None:
        if self.proxy.is_cut:
            self.proxy.refused += 1
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        target = urlsplit(self.path)
        if target.hostname == self.proxy.host:
            self._serve(target.path)
            return
        with self.proxy.lock:
            self.proxy.methods[self.command, target.path.split("/")[1]] += 1
        status, headers, body = self._behind_it(target.hostname or "", target.port or 80)
        if status < 300 and int(self.headers.get("Content-Length") or 0):
            with self.proxy.lock:
                self.proxy.taken[target.path] += 1
        self._answer(status, headers, body)

    do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_HEAD = _forward

    def _serve(self, path: str) -> None:
        page = self.proxy.pages.get(path.removeprefix("/") or "index.html")
        headers = {**self.proxy.headers, "Cache-Control": "no-store"}
        if page is None:
            self._answer(404, headers, b"")
        else:
            self._answer(200, {**headers, "Content-Type": page[0]}, page[1])

    def _behind_it(self, host: str, port: int) -> tuple[int, dict[str, str], bytes]:
        target = urlsplit(self.path)
        path = target.path + (f"?{target.query}" if target.query else "")
        self._behind = self._behind or http.client.HTTPConnection(host, port, timeout=300)
        self._behind.putrequest(self.command, path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP:
                self._behind.putheader(name, value)
        left = int(self.headers.get("Content-Length") or 0)
        if left or self.command in ("POST", "PUT"):
            self._behind.putheader("Content-Length", str(left))
        self._behind.endheaders()
        while left:
            chunk = self.rfile.read1(min(left, _CHUNK))
            if not chunk:
                # The browser is gone: so is what it sent, for the server as well.
                self._behind.close()
                raise ConnectionResetError
            with self.proxy.lock:
                self.proxy.sent[target.path] += len(chunk)
                self.proxy.first_byte.setdefault(target.path, time.monotonic())
            self.proxy.pace(len(chunk))
            self._behind.send(chunk)
            left -= len(chunk)
        answer = self._behind.getresponse()
        body = answer.read()
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
        return answer.status, headers, body

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
