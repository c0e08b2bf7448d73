"""The viewer: what URLs an operator may set, and a viewer that does not do its part."""

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from dicom_service.otp import viewer
from dicom_service.otp.issue import IssueRequest
from dicom_service.otp.viewer import ViewerSettings, ViewerTrouble
from tests.support.otp import PATIENT, PORTAL, STUDY, World, events_of


class _Viewer(BaseHTTPRequestHandler):
    """A viewer: `/token` works, the others fail each in its own way."""

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        if path == "/redirect":
            self._send(302, b"", {"Location": "/token"})
        elif path == "/slow":
            self.server.asked.wait(5)  # type: ignore[attr-defined]
        elif path == "/html":
            self._send(200, b"<html>")
        elif path == "/number":
            self._send(200, b'{"token": 5}')
        elif path == "/huge":
            self._send(200, b'{"token": "' + b"x" * 100_000 + b'"}')
        elif path == "/refused":
            self._send(403, b'{"token": "no"}')
        else:
            self._send(200, json.dumps({"token": json.dumps(query)}).encode())

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Viewer) as running:
        running.asked = threading.Event()  # type: ignore[attr-defined]
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.asked.set()  # type: ignore[attr-defined]
        running.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "text",
    [
        "http://viewer.example/{token}",
        "https://user:secret@viewer.example/{token}",
        "https://viewer.example/{studyUID}",
        "https://viewer.example/{token}/{patientName}",
        "https://{token}.viewer.example/",
        "javascript:{token}",
        "{token}",
        "",
    ],
)
def test_templates_that_would_lose_the_token_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        viewer.link_template(text)


def test_values_cannot_leave_their_place_in_the_link() -> None:
    template = viewer.link_template("https://viewer.example/#{studyUID}/{token}")

    link = viewer.link(template, {"studyUID": "1.2", "token": "a&b/../{role}?", "role": "patient"})
    assert link == "https://viewer.example/#1.2/a%26b%2F..%2F%7Brole%7D%3F"


def test_the_viewer_is_asked_as_the_reference_asks(server: str, world: World, log: io.StringIO) -> None:
    world.viewer = ViewerSettings(token_url=viewer.viewer_url(f"{server}/token"))

    answer = world.issuer.token(IssueRequest(STUDY, PATIENT, "a b&c", "diagnostic"), PORTAL)

    asked = {"studyUID": [STUDY], "patientID": [PATIENT], "user": ["a b&c"], "role": ["diagnostic"]}
    assert json.loads(answer["token"]) == asked
    assert events_of(world.tables) == []
    assert log.getvalue().count('"110137"') == 1
    assert "CANARY" not in log.getvalue()


@pytest.mark.parametrize("path", ["redirect", "html", "number", "huge", "refused"])
def test_a_viewer_without_a_token_is_told_apart(server: str, path: str) -> None:
    with pytest.raises(ViewerTrouble) as caught:
        viewer.ask_for_token(f"{server}/{path}", {"studyUID": STUDY})
    assert (caught.value.status, caught.value.code) == (502, "VIEWER_ERROR")


def test_a_viewer_that_is_not_there(server: str) -> None:
    with pytest.raises(ViewerTrouble) as caught:
        viewer.ask_for_token("http://127.0.0.1:1/token", {})
    assert (caught.value.status, caught.value.code) == (502, "VIEWER_UNREACHABLE")


def test_a_viewer_that_takes_too_long(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "TIMEOUT", (1, 0.2))

    with pytest.raises(ViewerTrouble) as caught:
        viewer.ask_for_token(f"{server}/slow", {})
    assert (caught.value.status, caught.value.code) == (504, "VIEWER_TIMEOUT")
