"""A receiver of webhooks for the time of a check, and the signature that each must have (Standard Webhooks)."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Caught:
    """A webhook as it came."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def study(self) -> str:
        """The study that it tells of."""
        return str(json.loads(self.body)["data"].get("StudyInstanceUID"))

    def is_signed(self, secret: str) -> bool:
        """Return whether one of its signatures is of this secret (``whsec_…``)."""
        signed = b".".join([*(self.headers[f"webhook-{name}"].encode() for name in ("id", "timestamp")), self.body])
        key = base64.b64decode(secret.removeprefix("whsec_"))
        wanted = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        return any(hmac.compare_digest(given, f"v1,{wanted}") for given in self.headers["webhook-signature"].split(" "))


@dataclass
class Receiver:
    """Listens on a port and keeps what comes."""

    port: int
    caught: list[Caught] = field(default_factory=list)

    def __enter__(self) -> Self:
        caught = self.caught

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                caught.append(Caught({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
