"""An HTTP proxy in front of a PACS that misbehaves as it is told, request by request."""

import base64
import json
import re
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence

import requests

from tests.support.loopback import Loopback, LoopbackHandler

# What can happen to one STOW-RS request.
FAULTS = (
    "unavailable",  # 503
    "too-many",  # 429 with Retry-After
    "reset",  # the connection breaks in mid-body
    "stall",  # the body is taken, no answer ever comes
    "truncated",  # stored, the answer breaks off
    "lost",  # stored, no answer
    "down",  # the connection is closed at once
    "half-400",  # the first half is stored, the answer is 400 without a body, as Orthanc does
    "half-409",  # the same with 409
    "mixed-202",  # the first half is stored, the others are listed as failed for now (0110)
    "disk-full",  # 409, every instance failed with A700
    "server-error",  # 500 with an HTML page
    "nonsense",  # 200 with an HTML page, nothing stored
)
# Besides these: "duplicate", 409, nothing stored, every instance failed as one that is there already (0111).
_SOP_UID = re.compile(rb"\x08\x00\x18\x00UI..([0-9.]+)", re.DOTALL)
_SOP_CLASS = "1.2.840.10008.5.1.4.1.1.2"


class Killed(BaseException):
    """The function's process is gone, without a word: nothing may catch this."""


class FaultyProxy(Loopback):
    """A context manager; `url` is the DICOMweb root behind it.

    Parameters
    ----------
    target
        DICOMweb root of the PACS.
    stall
        Seconds for which a stalled request is held.
    basic
        Name and password without which every request is answered 401.
    port
        Where it listens; 0 for a free one.

    Attributes
    ----------
    lacks
        Statuses that requests for certain ends of a path are answered with, such as ``{"metadata": 501}``.
    asked
        How often each last part of a path was asked for.
    paths
        How often each path was asked for, whatever its query.
    """

    def __init__(self, target: str, *, stall: float = 1.5, basic: tuple[str, str] | None = None, port: int = 0) -> None:
        self.target = target
        self.stall = stall
        self.credentials = "Basic " + base64.b64encode(":".join(basic).encode()).decode() if basic else None
        self.faults: deque[str] = deque()
        self.lacks: dict[str, int] = {}
        self.asked: Counter[str] = Counter()
        self.paths: Counter[str] = Counter()
        self.met: Counter[str] = Counter()
        self.lock = threading.Lock()
        super().__init__(type("Handler", (_Handler,), {"proxy": self}), port)

    def script(self, faults: Sequence[str]) -> None:
        """Let the next store requests meet these faults, one each; then all goes well."""
        self.faults = deque(faults)

    def next_fault(self) -> str:
        with self.lock:
            fault = self.faults.popleft() if self.faults else ""
            self.met[fault or "none"] += 1
            return fault


class _Handler(LoopbackHandler):
    proxy: FaultyProxy

    def do_GET(self) -> None:
        if not self._may_pass():
            return
        path = self.path.partition("?")[0]
        last = path.rpartition("/")[2]
        with self.proxy.lock:
            self.proxy.asked[last] += 1
            self.proxy.paths[path] += 1
        if last in self.proxy.lacks:
            self._answer(self.proxy.lacks[last], b"", {})
        else:
            self._forward(b"")

    def do_POST(self) -> None:
        if not self._may_pass():
            return
        length = int(self.headers["Content-Length"])
        fault = self.proxy.next_fault()
        if fault == "down":
            self._break_off()
            return
        if fault == "reset":
            self.rfile.read(min(length, 700))
            self._break_off()
            return
        body = self.rfile.read(length)
        if len(body) < length:
            self._break_off()
            return
        getattr(self, "_" + (fault or "forward").replace("-", "_"))(body)

    def _may_pass(self) -> bool:
        wanted = self.proxy.credentials
        if wanted is None or self.headers.get("Authorization") == wanted:
            return True
        self.close_connection = True  # a body that was sent along stays unread
        self._answer(401, b"", {"WWW-Authenticate": 'Basic realm="PACS"'})
        return False

    def _unavailable(self, body: bytes) -> None:
        self._answer(503, b"", {})

    def _too_many(self, body: bytes) -> None:
        self._answer(429, b"", {"Retry-After": "7"})

    def _server_error(self, body: bytes) -> None:
        self._answer(500, b"<html>Internal Server Error</html>", {"Content-Type": "text/html"})

    def _nonsense(self, body: bytes) -> None:
        self._answer(200, b"<html>Please log in</html>", {"Content-Type": "text/html"})

    def _stall(self, body: bytes) -> None:
        time.sleep(self.proxy.stall)
        self._break_off()

    def _lost(self, body: bytes) -> None:
        self._send_on(body)
        self._break_off()

    def _truncated(self, body: bytes) -> None:
        answer = self._send_on(body)
        self.send_response(answer.status_code)
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content[: len(answer.content) // 2])
        self._break_off()

    def _half_400(self, body: bytes) -> None:
        self._send_on(self._half(body))
        self._answer(400, b"", {})

    def _half_409(self, body: bytes) -> None:
        self._send_on(self._half(body))
        self._answer(409, b"", {})

    def _mixed_202(self, body: bytes) -> None:
        half = self._half(body)
        answer = self._send_on(half)
        result = json.loads(answer.content)
        stored = {uid for uid in _uids(half)}
        result["00081198"] = _failed([uid for uid in _uids(body) if uid not in stored], 0x0110)
        self._answer(202, json.dumps(result).encode(), {"Content-Type": "application/dicom+json"})

    def _disk_full(self, body: bytes) -> None:
        result = {"00081198": _failed(_uids(body), 0xA700)}
        self._answer(409, json.dumps(result).encode(), {"Content-Type": "application/dicom+json"})

    def _duplicate(self, body: bytes) -> None:
        result = {"00081198": _failed(_uids(body), 0x0111)}
        self._answer(409, json.dumps(result).encode(), {"Content-Type": "application/dicom+json"})

    def _half(self, body: bytes) -> bytes:
        """The first half of the parts, at least one."""
        boundary = body[: body.index(b"\r\n")]
        parts = body.split(b"\r\n" + boundary)
        return (b"\r\n" + boundary).join(parts[: max(1, (len(parts) - 1) // 2)]) + b"\r\n" + boundary + b"--\r\n"

    def _send_on(self, body: bytes) -> requests.Response:
        headers = {name: value for name, value in self.headers.items() if name not in {"Host", "Content-Length"}}
        return requests.request(self.command, self.proxy.target + self.path, data=body, headers=headers, timeout=30)

    def _forward(self, body: bytes) -> None:
        answer = self._send_on(body)
        kept = {name: answer.headers[name] for name in ("Content-Type", "Warning") if name in answer.headers}
        self._answer(answer.status_code, answer.content, kept)

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        if status == 204:
            self.end_headers()
            return
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _break_off(self) -> None:
        # Closing with data unread and no linger makes a reset of it.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def _uids(body: bytes) -> list[str]:
    return [match.group(1).decode() for match in _SOP_UID.finditer(body)]


def _failed(uids: Sequence[str], reason: int) -> dict[str, object]:
    items = [
        {
            "00081150": {"vr": "UI", "Value": [_SOP_CLASS]},
            "00081155": {"vr": "UI", "Value": [uid]},
            "00081197": {"vr": "US", "Value": [reason]},
        }
        for uid in uids
    ]
    return {"vr": "SQ", "Value": items}
