"""Sign-ins to the desk of a local stack that work once, at a path of MiniStack's port; the service has none of it.

A link has a random code behind `#`, which no log sees. The page at `PATH` sends it in a body, gets the session that was
registered under the code's hash, and leaves it to the desk, whose origin it shares. It runs in MiniStack's interpreter,
too: standard library alone.
"""

import base64
import hashlib
import json
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

PATH = "/_local/desk"
LIVES = 3600
_LONGEST_CODE = 200

_SCRIPT = """
addEventListener("hashchange", () => location.reload());
const code = location.hash.slice(1);
history.replaceState(null, "", location.pathname);
const answer = code && (await fetch(location.pathname, { method: "POST", body: code, cache: "no-store" }));
if (answer && answer.ok) {
  const { desk, session } = await answer.json();
  sessionStorage.setItem("desk.session", JSON.stringify(session));
  location.replace(desk);
} else {
  document.getElementById("said").textContent =
    "This link has been used before, or is older than an hour. `make desk` prints another.";
}
"""
_PAGE = f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Sign in</title><link rel="icon" href="data:,"></head>
<body><main><h1>Desk</h1><p id="said" role="status">Signing in …</p></main>
<script type="module">{_SCRIPT}</script></body>
</html>
"""
_POLICY = (
    f"default-src 'none'; script-src 'sha256-{base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()}'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

Talk = Callable[..., Awaitable[Any]]
App = Callable[[Mapping[str, Any], Talk, Talk], Coroutine[Any, Any, None]]


class SignIns:
    """Those that are registered and not used, each a file named by the hash of its code.

    Parameters
    ----------
    folder
        Where they are; readable by its owner alone.
    clock
        Seconds since the epoch.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock

    def register(self, answer: Mapping[str, Any]) -> str:
        """Keep what the bearer of a new code is to get, once; return the code."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for old in self._folder.iterdir():
            if json.loads(old.read_text())["until"] < self._clock():
                old.unlink(missing_ok=True)
        code = secrets.token_urlsafe(32)
        text = json.dumps({"until": self._clock() + LIVES, "answer": dict(answer)})
        descriptor = os.open(self._file(code), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        return code

    def take(self, code: str) -> dict[str, Any] | None:
        """Return what was registered with a code; None if there is nothing, or if that was so long ago."""
        taken = self._folder.with_name(f"{self._folder.name}-{secrets.token_hex(8)}")
        try:
            # Of several at once, one moves it.
            self._file(code).rename(taken)
        except FileNotFoundError:
            return None
        found = json.loads(taken.read_text())
        taken.unlink()
        return dict(found["answer"]) if self._clock() <= found["until"] else None

    def _file(self, code: str) -> Path:
        return self._folder / hashlib.sha256(code.encode()).hexdigest()


def hand_out(app: App, sign_ins: SignIns) -> App:
    """Return an ASGI application that answers at `PATH`, and leaves all else to another one."""

    async def serve(scope: Mapping[str, Any], receive: Talk, send: Talk) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await app(scope, receive, send)
        elif scope["method"] == "GET":
            # Nothing is used up yet: what looks ahead of a person leaves the link as it is.
            await _answer(send, 200, "text/html; charset=utf-8", _PAGE)
        elif scope["method"] == "POST":
            found = sign_ins.take((await _body(receive)).decode("latin-1"))
            await _answer(send, 200 if found else 410, "application/json", json.dumps(found))
        else:
            await _answer(send, 405, "text/plain", "")

    return serve


async def _body(receive: Talk) -> bytes:
    """Return a body, of a long one no more than that it is too long for a code."""
    body = b""
    while len(body) <= _LONGEST_CODE:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body[: _LONGEST_CODE + 1]


async def _answer(send: Talk, status: int, media_type: str, text: str) -> None:
    body = text.encode()
    headers = {
        "content-type": media_type,
        "content-length": str(len(body)),
        "cache-control": "no-store",
        "content-security-policy": _POLICY,
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
    }
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
