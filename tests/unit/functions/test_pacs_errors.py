"""Whatever the PACS does, the caller hears whose fault it is, in time (api.md, "Conventions")."""

import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.lambdas import Invoke
from tests.support.pacs import Answer as PacsAnswer
from tests.support.pacs import FakePacs, answer, cut_off, drip_headers, hang_up, html, reset, stall

FUNCTIONS = ("upload_exam", "list_exams", "get_instance", "get_thumbnail")


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses connections: bound, so that nobody else takes it, but not listening."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_pacs_that_is_down_is_unreachable(function: str, invoke: Invoke, closed_port: int) -> None:
    given = invoke(function, f"http://127.0.0.1:{closed_port}/dicom-web")
    assert (given.status, given.json["code"]) == (502, "PACS_UNREACHABLE")


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("misbehaviour", "status", "code"),
    [
        (stall, 504, "PACS_TIMEOUT"),
        (drip_headers(0.05), 504, "PACS_TIMEOUT"),
        (reset, 502, "PACS_UNREACHABLE"),
        (hang_up, 502, "PACS_UNREACHABLE"),
        (answer(401), 502, "PACS_REFUSED_CREDENTIALS"),
        (answer(403), 502, "PACS_REFUSED_CREDENTIALS"),
        (html(200), 502, "PACS_ERROR"),
        (html(500), 502, "PACS_ERROR"),
        (answer(500, b"ROSSI^MARIO"), 502, "PACS_ERROR"),
        (answer(503, Retry_After="7"), 503, "PACS_BUSY"),
        (answer(429, Retry_After="7"), 503, "PACS_BUSY"),
        (cut_off(b'[{"00', 500), 502, "PACS_UNREACHABLE"),
        (answer(200, b"{not json", "application/dicom+json"), 502, "PACS_ERROR"),
    ],
    ids=[
        "stalls",
        "drips",
        "resets",
        "hangs-up",
        "401",
        "403",
        "html-200",
        "html-500",
        "500",
        "503",
        "429",
        "cut-off",
        "nonsense",
    ],
)
def test_trouble_is_told_by_name_and_in_time(
    function: str, misbehaviour: PacsAnswer, status: int, code: str, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    if code == "PACS_TIMEOUT":
        monkeypatch.setenv("PACS_READ_TIMEOUT", "0.4")
        monkeypatch.setenv("PACS_TOTAL_TIMEOUT", "1.2")
    with FakePacs(misbehaviour) as pacs:
        started = time.monotonic()
        given = invoke(function, pacs.url)
        took = time.monotonic() - started
    assert (given.status, given.json["code"]) == (status, code)
    assert given.headers["Content-Type"] == "application/problem+json"
    assert b"ROSSI" not in given.body
    if status == 503:
        assert given.headers["Retry-After"] == "7"
    # Not a timing of ours: the whole of it must end long before the 29 s of the gateway.
    assert took < 15
