"""A real small HTTP server on loopback that misbehaves on request."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


Answer = Callable[["Handler", Received], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FakePacs

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        received = Received(self.command, self.path, headers, body, self.client_address[1])
        self.server.next_answer(received)(self, received)

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def reset(self) -> None:
        """Drop the connection with a TCP reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def hang_up(self) -> None:
        """Close the connection without a word."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def head(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.flush()


class FakePacs(ThreadingHTTPServer):
    """Gives the answers it was handed, one a request; the last one again and again."""

    daemon_threads = True

    def __init__(self, *answers: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self._answers = list(answers)
        self._lock = threading.Lock()
        self.received: list[Received] = []
        self.stopping = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/dicom-web"

    def next_answer(self, received: Received) -> Answer:
        with self._lock:
            self.received.append(received)
            return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that give up are the point of these tests."""

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self.shutdown()
        self.server_close()


def answer(status: int = 200, body: bytes = b"", content_type: str = "text/plain", **headers: str) -> Answer:
    def give(handler: Handler, _received: Received) -> None:
        length = {} if status == 204 else {"Content_Length": str(len(body))}
        handler.head(status, **length, Content_Type=content_type, **headers)
        handler.wfile.write(body)

    return give


def dicom_json(document: object, status: int = 200, **headers: str) -> Answer:
    return answer(status, json.dumps(document).encode(), "application/dicom+json", **headers)


def html(status: int = 200) -> Answer:
    return answer(status, b"<!DOCTYPE html><title>Log in</title>", "text/html")


def reset(handler: Handler, _received: Received) -> None:
    handler.reset()


def hang_up(handler: Handler, _received: Received) -> None:
    handler.hang_up()


def stall(handler: Handler, _received: Received) -> None:
    handler.server.stopping.wait(10)
    handler.hang_up()


def cut_off(body: bytes, announced: int, content_type: str = "application/dicom+json") -> Answer:
    """Announce more bytes than are sent."""

    def give(handler: Handler, _received: Received) -> None:
        handler.head(200, Content_Length=str(announced), Content_Type=content_type)
        handler.wfile.write(body)
        handler.hang_up()

    return give


def drip(pieces: Sequence[bytes], pause: float, content_type: str = "application/dicom+json") -> Answer:
    """Send the body in small pieces, slowly."""

    def give(handler: Handler, _received: Received) -> None:
        handler.head(200, Content_Length=str(sum(map(len, pieces))), Content_Type=content_type)
        for piece in pieces:
            handler.wfile.write(piece)
            handler.wfile.flush()
            time.sleep(pause)

    return give


def drip_headers(pause: float) -> Answer:
    """Never finish the header, but never fall silent either."""

    def give(handler: Handler, _received: Received) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(100):
            handler.wfile.write(b"X-Drip-%d: 1\r\n" % number)
            handler.wfile.flush()
            time.sleep(pause)

    return give
