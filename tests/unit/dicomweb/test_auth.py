"""Credentials as they arrive at the other side."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from urllib.parse import parse_qs

import pytest

from dicomweb.auth import make_auth
from dicomweb.errors import DicomwebError, PacsBusy, PacsFault, PacsRejectedCredentials
from dicomweb.transport import Body, Timeouts, Transport
from tests.support.pacs import FakePacs, answer, dicom_json, hang_up, html

OK = dicom_json([])
PATIENT = Timeouts(connect=5.0, read=5.0, total=20.0)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def sent(kind: str, secret: Mapping[str, str]) -> dict[str, str]:
    with FakePacs(OK) as pacs:
        Transport(auth=make_auth(kind, secret), timeouts=PATIENT).get_json(pacs.url)
    return pacs.received[0].headers


def test_none() -> None:
    assert make_auth("none", {}) is None
    assert "authorization" not in sent("none", {})


def test_basic_with_names_beyond_latin_1() -> None:
    header = sent("basic", {"username": "užívatel", "password": "hé:slo"})["authorization"]
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == "užívatel:hé:slo"


def test_bearer() -> None:
    assert sent("bearer", {"token": "abc"})["authorization"] == "Bearer abc"


def test_header() -> None:
    assert sent("header", {"name": "X-Api-Key", "value": "abc"})["x-api-key"] == "abc"


@pytest.mark.parametrize(
    ("kind", "secret", "named"),
    [
        ("basic", {"username": "u"}, "password"),
        ("bearer", {}, "token"),
        ("oauth2", {"token_url": "u", "client_id": ""}, "client_id, client_secret"),
        ("kerberos", {}, "kerberos"),
        ("sigv4", {}, "signer"),
    ],
)
def test_what_is_missing_is_named(kind: str, secret: Mapping[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make_auth(kind, secret)


def test_refused_credentials_are_not_tried_again() -> None:
    with FakePacs(answer(401)) as pacs, pytest.raises(PacsRejectedCredentials):
        Transport(auth=make_auth("bearer", {"token": "t"}), timeouts=PATIENT).get_json(pacs.url)
    assert len(pacs.received) == 1


def test_sigv4_signs_every_try_anew_and_streams_unsigned() -> None:
    calls: list[tuple[str, str, str]] = []

    def signer(method: str, url: str, headers: Mapping[str, str], payload_hash: str) -> Mapping[str, str]:
        assert headers["X-Amz-Content-SHA256"] == payload_hash
        calls.append((method, url, payload_hash))
        return {"Authorization": f"signature {len(calls)}"}

    transport = Transport(auth=make_auth("sigv4", {}, signer=signer), timeouts=PATIENT)
    with FakePacs(hang_up, OK) as pacs:
        transport.request("POST", pacs.url, body=Body.of(b"data", "text/plain"), idempotent=True)
        transport.get_json(pacs.url)
    assert [r.headers["authorization"] for r in pacs.received] == [f"signature {n}" for n in (1, 2, 3)]
    unsigned, empty = "UNSIGNED-PAYLOAD", hashlib.sha256(b"").hexdigest()
    assert calls == [("POST", pacs.url, unsigned), ("POST", pacs.url, unsigned), ("GET", pacs.url, empty)]


def oauth2(token_url: str, clock: Clock | None = None, **more: str) -> Transport:
    secret = {"token_url": token_url, "client_id": "me", "client_secret": "s&cret", **more}
    return Transport(auth=make_auth("oauth2", secret, clock=clock or Clock()), timeouts=PATIENT)


def token(text: str, **more: object):  # type: ignore[no-untyped-def]
    return dicom_json({"access_token": text, "token_type": "Bearer", **more})


def test_oauth2_keeps_a_token_until_shortly_before_it_expires() -> None:
    clock = Clock()
    with FakePacs(token("one", expires_in=3600), token("two", expires_in="3600")) as issuer, FakePacs(OK) as pacs:
        transport = oauth2(issuer.url, clock, scope="dicom", audience="pacs")
        transport.get_json(pacs.url)
        clock.now += 3500
        transport.get_json(pacs.url)
        clock.now += 60
        transport.get_json(pacs.url)
    assert [r.headers["authorization"] for r in pacs.received] == ["Bearer one", "Bearer one", "Bearer two"]
    assert parse_qs(issuer.received[0].body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["me"],
        "client_secret": ["s&cret"],
        "scope": ["dicom"],
        "audience": ["pacs"],
    }


def test_oauth2_renews_a_refused_token_once_and_sends_the_body_again() -> None:
    with FakePacs(token("old"), token("new")) as issuer, FakePacs(answer(401), OK) as pacs:
        transport = oauth2(issuer.url)
        response = transport.request("POST", pacs.url, body=Body.of(b"data", "text/plain"))
    assert response.status == 200
    assert [(r.headers["authorization"], r.body) for r in pacs.received] == [
        ("Bearer old", b"data"),
        ("Bearer new", b"data"),
    ]


def test_oauth2_gives_up_when_the_new_token_is_refused_too() -> None:
    with FakePacs(token("any")) as issuer, FakePacs(answer(401)) as pacs, pytest.raises(PacsRejectedCredentials):
        oauth2(issuer.url).get_json(pacs.url)
    assert (len(issuer.received), len(pacs.received)) == (2, 2)


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (dicom_json({"error": "invalid_client"}, 401), PacsRejectedCredentials),
        (dicom_json({"error": "invalid_client"}, 400), PacsRejectedCredentials),
        (answer(404), PacsRejectedCredentials),
        (answer(503, Retry_After="60"), PacsBusy),
        (answer(500), PacsFault),
        (html(), PacsFault),
        (dicom_json({}), PacsFault),
        (dicom_json([]), PacsFault),
    ],
)
def test_oauth2_trouble_with_the_token_endpoint(trouble, error: type[DicomwebError]) -> None:  # type: ignore[no-untyped-def]
    with FakePacs(trouble) as issuer, FakePacs(OK) as pacs, pytest.raises(error) as caught:
        oauth2(issuer.url).get_json(pacs.url)
    assert pacs.received == []
    assert "s&cret" not in str(caught.value)
