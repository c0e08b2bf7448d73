"""The transport against a server that misbehaves."""

from __future__ import annotations

import gc
import gzip
import socket
import time
from collections.abc import Iterator

import pytest
import requests
from requests.auth import AuthBase, HTTPBasicAuth

from dicomweb.auth import HeaderAuth, make_auth
from dicomweb.body import BodyIterator
from dicomweb.errors import (
    BodyUnreadable,
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
from dicomweb.transport import Body, Timeouts, Transport, _prepared
from tests.support.pacs import (
    FakePacs,
    answer,
    cut_off,
    dicom_json,
    drip,
    drip_headers,
    hang_up,
    html,
    reset,
    stall,
)

QUICK = Timeouts(connect=0.3, read=0.3, total=1.0)
PATIENT = Timeouts(connect=5.0, read=5.0, total=20.0)
OK = dicom_json([{"ok": True}])


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def transport(pauses: list[float]) -> Iterator[Transport]:
    patient = Transport(timeouts=PATIENT, sleep=pauses.append)
    yield patient
    patient.close()


@pytest.fixture
def quick() -> Iterator[Transport]:
    quick = Transport(timeouts=QUICK)
    yield quick
    quick.close()


def numbered(size: int) -> Body:
    """A body in pieces that can be read again and again."""
    data = bytes(range(256)) * (size // 256)
    return Body("application/octet-stream", len(data), lambda: (data[at : at + 1000] for at in range(0, size, 1000)))


@pytest.mark.parametrize("trouble", [answer(503), answer(502), answer(504), answer(429), reset, hang_up])
def test_get_is_tried_again_after_passing_trouble(trouble, transport, pauses):  # type: ignore[no-untyped-def]
    with FakePacs(trouble, OK) as pacs:
        assert transport.get_json(pacs.url) == [{"ok": True}]
    assert len(pacs.received) == 2
    assert len(pauses) == 1


def test_short_retry_after_is_waited_for(transport: Transport, pauses: list[float]) -> None:
    slow = Transport(timeouts=Timeouts(total=20), sleep=pauses.append)
    with FakePacs(answer(429, Retry_After="2"), OK) as pacs:
        slow.get_json(pacs.url)
    assert 2 <= pauses[0] < 3


@pytest.mark.parametrize(("status", "wanted"), [(429, "120"), (503, "120")])
def test_long_retry_after_is_passed_on_at_once(status: int, wanted: str, transport: Transport) -> None:
    with FakePacs(answer(status, Retry_After=wanted)) as pacs, pytest.raises(PacsBusy) as caught:
        transport.get_json(pacs.url)
    assert caught.value.retry_after == 120
    assert len(pacs.received) == 1


def test_answer_cut_off_in_the_middle_is_fetched_again(transport: Transport) -> None:
    with FakePacs(cut_off(b"[{", 100), OK) as pacs:
        assert transport.get_json(pacs.url) == [{"ok": True}]


def test_answer_cut_off_every_time_is_unreachable(transport: Transport) -> None:
    with FakePacs(cut_off(b"[{", 100)) as pacs, pytest.raises(PacsUnreachable):
        transport.get_json(pacs.url)
    assert len(pacs.received) == 3


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RequestRejected),
        (401, PacsRejectedCredentials),
        (403, PacsRejectedCredentials),
        (404, NotFound),
        (405, NotSupported),
        (406, NotSupported),
        (409, RequestRejected),
        (410, NotFound),
        (415, NotSupported),
        (429, PacsBusy),
        (500, PacsFault),
        (501, NotSupported),
        (502, PacsFault),
        (503, PacsBusy),
        (504, PacsTimeout),
        (304, PacsFault),
    ],
)
def test_each_status_has_its_error(status: int, error: type[DicomwebError], transport: Transport) -> None:
    with FakePacs(answer(status)) as pacs, pytest.raises(error):
        transport.get_json(pacs.url)


def test_html_instead_of_json_is_a_fault(transport: Transport) -> None:
    with FakePacs(html()) as pacs, pytest.raises(PacsFault):
        transport.get_json(pacs.url)
    assert gc.isenabled(), "parsing pauses it"


def test_refused_connection_is_unreachable(transport: Transport) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
        with pytest.raises(PacsUnreachable):
            transport.get_json(url)


def test_unknown_host_is_unreachable(transport: Transport) -> None:
    with pytest.raises(PacsUnreachable):
        transport.get_json("http://pacs.invalid/")


def test_silence_is_a_timeout_and_not_tried_again(quick: Transport) -> None:
    with FakePacs(stall) as pacs, pytest.raises(PacsTimeout):
        quick.get_json(pacs.url)
    assert len(pacs.received) == 1


@pytest.mark.parametrize("slow", [drip([b" "] * 100, 0.1), drip_headers(0.1)], ids=["body", "headers"])
def test_dripping_answer_ends_at_the_deadline(slow, quick):  # type: ignore[no-untyped-def]
    """GIVEN an answer that never pauses longer than the read timeout WHEN it takes too long in all THEN it is cut."""
    started = time.monotonic()
    with FakePacs(slow) as pacs, pytest.raises(PacsTimeout):
        quick.get_json(pacs.url)
    assert time.monotonic() - started < 5  # dripping to the end takes 10 s


def test_retries_stop_when_the_next_pause_would_pass_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicomweb.transport._pause", lambda tries: 0.4 if tries < 1 else 1.0)
    slow = Transport(timeouts=QUICK, max_retries=100)
    with FakePacs(reset) as pacs, pytest.raises(PacsUnreachable):
        slow.get_json(pacs.url)
    assert len(pacs.received) == 2


def test_a_pause_that_took_all_the_time_is_a_timeout() -> None:
    slow = Transport(timeouts=QUICK, max_retries=100, sleep=lambda _: time.sleep(QUICK.total))
    with FakePacs(reset) as pacs, pytest.raises(PacsTimeout):
        slow.get_json(pacs.url)
    assert len(pacs.received) == 1


def test_no_content_is_none(transport: Transport) -> None:
    with FakePacs(answer(204)) as pacs:
        assert transport.get_json(pacs.url) is None


def test_identity_encoding_is_asked_for_and_connections_are_reused(transport: Transport) -> None:
    with FakePacs(OK) as pacs:
        transport.get_json(pacs.url)
        transport.get_json(pacs.url)
    first, second = pacs.received
    assert first.headers["accept-encoding"] == "identity"
    assert first.connection == second.connection


def test_connection_that_the_server_is_about_to_close_is_not_used(transport: Transport) -> None:
    with FakePacs(dicom_json([], Keep_Alive="timeout=0")) as pacs:
        transport.get_json(pacs.url)
        time.sleep(0.01)
        transport.get_json(pacs.url)
    first, second = pacs.received
    assert first.connection != second.connection


@pytest.mark.parametrize("trouble", [reset, hang_up, answer(503), answer(429, Retry_After="0")])
def test_idempotent_post_sends_its_whole_body_again(trouble, transport):  # type: ignore[no-untyped-def]
    body = numbered(25600)
    with FakePacs(trouble, OK) as pacs:
        response = transport.request("POST", pacs.url, body=body, idempotent=True)
    assert response.status == 200
    assert [r.body for r in pacs.received] == [b"".join(body.open())] * 2
    assert {r.headers["content-length"] for r in pacs.received} == {"25600"}
    assert all("transfer-encoding" not in r.headers for r in pacs.received)


@pytest.mark.parametrize("trouble", [reset, hang_up])
def test_other_post_is_never_sent_twice(trouble, transport):  # type: ignore[no-untyped-def]
    with FakePacs(trouble, OK) as pacs, pytest.raises(PacsUnreachable):
        transport.request("POST", pacs.url, body=Body.of(b"{}", "application/json"))
    assert len(pacs.received) == 1


@pytest.mark.parametrize("announced", [9, 11])
def test_body_of_another_length_than_announced_is_our_fault(announced: int, transport: Transport) -> None:
    body = Body("text/plain", announced, lambda: iter((b"01234", b"56789")))
    with FakePacs(OK) as pacs, pytest.raises(BodyUnreadable):
        transport.request("POST", pacs.url, body=body, idempotent=True)


def test_body_that_cannot_be_read_is_not_blamed_on_the_pacs(transport: Transport) -> None:
    def broken() -> Iterator[bytes]:
        yield b"0123"
        raise ConnectionResetError

    with FakePacs(OK) as pacs, pytest.raises(BodyUnreadable):
        transport.request("POST", pacs.url, body=Body("text/plain", 10, broken), idempotent=True)


def test_redirect_within_the_host_keeps_credentials() -> None:
    transport = Transport(auth=make_auth("header", {"name": "X-Key", "value": "k"}), timeouts=PATIENT)
    with FakePacs(answer(307, Location="/elsewhere?a=1"), OK) as pacs:
        transport.get_json(pacs.url)
    assert pacs.received[1].target == "/elsewhere?a=1"
    assert pacs.received[1].headers["x-key"] == "k"


@pytest.mark.parametrize(
    ("kind", "secret"),
    [
        ("header", {"name": "X-Key", "value": "k"}),
        ("basic", {"username": "u", "password": "p"}),
        ("bearer", {"token": "t"}),
    ],
)
def test_redirect_to_another_host_carries_no_credentials(kind: str, secret: dict[str, str]) -> None:
    transport = Transport(auth=make_auth(kind, secret), timeouts=PATIENT)
    with FakePacs(OK) as other, FakePacs(answer(302, Location=other.url)) as pacs:
        transport.get_json(pacs.url)
    assert {"x-key", "authorization"} & pacs.received[0].headers.keys()
    assert not {"x-key", "authorization"} & other.received[0].headers.keys()


def test_redirect_in_circles_is_a_fault(transport: Transport) -> None:
    with FakePacs(answer(302, Location="/again")) as pacs, pytest.raises(PacsFault):
        transport.get_json(pacs.url)
    assert len(pacs.received) == 4


@pytest.mark.parametrize("location", ["http://[", "gopher://x/"])
def test_redirect_to_nowhere_is_a_fault(location: str, transport: Transport) -> None:
    with FakePacs(answer(302, Location=location)) as pacs, pytest.raises(PacsFault):
        transport.get_json(pacs.url)


def test_body_is_not_redirected(transport: Transport) -> None:
    with FakePacs(answer(307, Location="/elsewhere"), OK) as pacs:
        response = transport.request("POST", pacs.url, body=Body.of(b"x", "text/plain"), idempotent=True)
    assert response.status == 307
    assert len(pacs.received) == 1


def test_upload_that_is_not_taken_ends_at_the_deadline(quick: Transport) -> None:
    """GIVEN a server that accepts and then reads nothing WHEN more is sent than buffers hold THEN it is a timeout."""
    block = bytes(1024 * 1024)
    body = Body("application/octet-stream", 64 * len(block), lambda: iter([block] * 64))
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        with pytest.raises(PacsTimeout):
            quick.request("POST", f"http://127.0.0.1:{deaf.getsockname()[1]}/", body=body, idempotent=True)


def test_answer_that_is_compressed_all_the_same_is_read(transport: Transport) -> None:
    with FakePacs(answer(200, gzip.compress(b'[{"ok": true}]'), Content_Encoding="gzip")) as pacs:
        assert transport.get_json(pacs.url) == [{"ok": True}]


def test_answer_that_cannot_be_decompressed_is_a_fault(transport: Transport) -> None:
    with FakePacs(answer(200, b"not gzip", Content_Encoding="gzip")) as pacs, pytest.raises(PacsFault):
        transport.get_json(pacs.url)


def test_answer_too_long_to_be_one_is_a_fault(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicomweb.response.MAX_ANSWER", 1000)
    with FakePacs(answer(200, b" " * 1001)) as pacs, pytest.raises(PacsFault):
        transport.get_json(pacs.url)


def test_requests_of_one_call_share_its_time() -> None:
    transport = Transport(timeouts=Timeouts(connect=0.3, read=0.6, total=1.0))
    with FakePacs(drip([b" "] * 6, 0.1)) as pacs, transport.shared_deadline(), pytest.raises(PacsTimeout):
        for _ in range(5):
            transport.request("GET", pacs.url)
    assert len(pacs.received) < 4


def test_messages_show_neither_url_nor_body(transport: Transport) -> None:
    with FakePacs(answer(500, b"ROSSI^MARIO")) as pacs, pytest.raises(PacsFault) as caught:
        transport.get_json(pacs.url + "/studies?PatientName=ROSSI")
    assert "ROSSI" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8042/dicom-web/studies",
        "https://pacs.example/dicom-web/studies?PatientID=a%20b%2Ac&includefield=00080020,00080030&limit=101",
        "https://PACS.example",
        "https://pacs.example?x=1",
        "https://müller.example/dicom-web/studies",
        "https://pacs.example/dicom web/../studies/./1.2.3#part",
        "https://user:secret@pacs.example/dicom-web/studies",
        "https://pacs.example/%2a/studies",
        "https://pacs.example/../studies",
        "https://pacs.example/studies?x=%7Ea",
        "https://pacs.example/%41/%2E%2E/b",
        "https://pacs.example:0443/studies",
        "https://pacs.example:8443/studies/",
        "https://pacs.example/studies?",
        "https://pacs.example/studies?x=%22%3F%40%5B%60%7B%7F",
        "http://[::1]:8042/dicom-web/studies?x=%7Ea%zz",
    ],
)
@pytest.mark.parametrize("body", [None, Body.of(b"text", "text/plain")], ids=["none", "body"])
@pytest.mark.parametrize("auth", [None, HTTPBasicAuth("user", "secret"), HeaderAuth("X-Key", "secret")])
def test_a_request_is_what_requests_would_send(url: str, body: Body | None, auth: AuthBase | None) -> None:
    data = BodyIterator(body) if body else None
    for method in ("GET", "POST"):
        ours = _prepared(method, url, {"Accept": "x/y"}, auth, data)
        theirs = requests.Request(method, url, headers={"Accept": "x/y"}, auth=auth, data=data).prepare()
        assert (ours.method, ours.url, ours.body) == (theirs.method, theirs.url, theirs.body)
        assert dict(ours.headers) == dict(theirs.headers)


def test_a_header_of_two_lines_is_not_sent() -> None:
    with pytest.raises(requests.exceptions.InvalidHeader):
        _prepared("GET", "http://pacs.example/studies", {"Accept": "x/y\r\nX-Other: z"}, None, None)
