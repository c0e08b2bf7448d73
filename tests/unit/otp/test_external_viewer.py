"""The viewer: what an operator may set, the token of a viewer that makes its own, one that does not do its part."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from dicom_service.aws import Secret
from dicom_service.errors import SettingsError
from dicom_service.otp import external_viewer
from dicom_service.otp.external_viewer import ViewerError, ViewerSettings, ViewerTokens, parameter_names
from dicom_service.otp.requests import IssueRequest
from tests.support.otp import API, PATIENT, PORTAL, STUDY, Harness, events_of, master_secret
from tests.support.pacs import Answer, FakePacs, Handler, Received, answer, cut_off, drip, hang_up, html, stall
from tests.support.template import RESOURCES
from tests.support.tls import Identity, secured, self_signed
from tests.support.viewer import KEY, PATH, TOKEN, reference_viewer

JSON = "application/json"


def json_viewer(handler: Handler, received: Received) -> None:
    """A viewer that answers what it was asked."""
    answer(200, json.dumps({"token": json.dumps(received.query)}).encode(), JSON)(handler, received)


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return self_signed(tmp_path_factory.mktemp("tls"), "viewer")


@pytest.fixture
def at_viewer() -> Iterator[FakePacs]:
    with FakePacs(reference_viewer) as running:
        yield running


def base(server: FakePacs) -> str:
    return server.url.removesuffix("/dicom-web")


def secret(**values: str) -> Secret:
    return Secret(master_secret("viewer", values))


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
def test_templates_that_would_lose_the_token_are_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        external_viewer.link_template(text)


def test_values_cannot_leave_their_place_in_the_link() -> None:
    template = external_viewer.link_template("https://viewer.example/#{studyUID}/{token}")

    link = external_viewer.link(template, {"studyUID": "1.2", "token": "a&b/../{role}?", "role": "patient"})
    assert link == "https://viewer.example/#1.2/a%26b%2F..%2F%7Brole%7D%3F"


@pytest.mark.parametrize(
    "text",
    ["user", "user=a=b", "name=username", "user=a,user=b", "user=role", "user=x,role=x", "user=username,", "=username"],
)
def test_names_of_parameters_that_make_no_sense_are_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parameter_names(text)


def test_names_of_parameters() -> None:
    assert parameter_names(" user = username, patientID=") == (("user", "username"), ("patientID", ""))
    assert parameter_names("user=role,role=user") == (("user", "role"), ("role", "user"))


def test_the_viewer_is_asked_as_the_reference_asks(harness: Harness, log: io.StringIO) -> None:
    with FakePacs(json_viewer) as server:
        harness.viewer = ViewerSettings(token_url=external_viewer.viewer_url(f"{base(server)}/token?site=a"))
        given = harness.issuer.token(IssueRequest(STUDY, PATIENT, "a b&c", "diagnostic"), PORTAL, API)

    asked = {"site": "a", "studyUID": STUDY, "patientID": PATIENT, "user": "a b&c", "role": "diagnostic"}
    assert json.loads(given["token"]) == asked
    assert "authorization" not in server.received[0].headers
    assert events_of(harness.tables) == []
    assert log.getvalue().count('"110137"') == 1
    assert "CANARY" not in log.getvalue()


def test_the_viewer_of_the_reference_gives_its_token(harness: Harness, at_viewer: FakePacs, log: io.StringIO) -> None:
    # GIVEN a viewer that wants a bare key in a header, `username` for `user`, no patient, and answers plain text
    harness.viewer = ViewerSettings(
        token_url=f"{base(at_viewer)}{PATH}",
        secret_arn=secret(name="Authorization", value=KEY).arn,
        parameters=parameter_names("user=username,patientID="),
    )
    # WHEN a token is asked for THEN it is the viewer's
    given = harness.issuer.token(IssueRequest(STUDY, PATIENT, "rossi", "patient"), PORTAL, API)
    assert given == {"token": TOKEN}
    (asked,) = at_viewer.received
    assert asked.query == {"username": "rossi", "role": "patient", "studyUID": STUDY}
    assert "CANARY" not in log.getvalue()


def test_without_the_key_or_the_name_the_viewer_gives_none(harness: Harness, at_viewer: FakePacs) -> None:
    url = f"{base(at_viewer)}{PATH}"
    named = {"user": "username"}
    asked = {"studyUID": STUDY, "user": "rossi", "role": "patient"}
    right = secret(name="Authorization", value=KEY)
    for tokens in (ViewerTokens(url, named), ViewerTokens(url, {}, right)):
        with pytest.raises(ViewerError) as caught:
            tokens.request_token(asked)
        assert (caught.value.status, caught.value.code) == (502, "VIEWER_ERROR")
    assert ViewerTokens(url, named, right).request_token(asked) == TOKEN


def test_a_viewer_with_a_private_authority(harness: Harness, identity: Identity) -> None:
    server = FakePacs(reference_viewer)
    url = f"{secured(server, identity).removesuffix('/dicom-web')}{PATH}"
    header = {"name": "Authorization", "value": KEY}
    asked = {"studyUID": STUDY, "username": "rossi", "role": "patient"}
    with server:
        with pytest.raises(ViewerError) as caught:
            ViewerTokens(url, {}, secret(**header)).request_token(asked)
        assert (caught.value.code, server.received) == ("VIEWER_UNREACHABLE", [])
        assert ViewerTokens(url, {}, secret(**header, ca_bundle=identity.pem)).request_token(asked) == TOKEN


def test_a_new_key_is_used_without_a_restart(harness: Harness, at_viewer: FakePacs) -> None:
    secret(name="Authorization", value="the old one")
    tokens = ViewerTokens(f"{base(at_viewer)}{PATH}", {}, Secret("viewer", max_age=0))
    asked = {"studyUID": STUDY, "username": "rossi", "role": "patient"}
    with pytest.raises(ViewerError):
        tokens.request_token(asked)
    secret(name="Authorization", value=KEY)
    assert tokens.request_token(asked) == TOKEN


@pytest.mark.parametrize(
    "values",
    [
        {"name": "Authorization"},
        {"value": KEY},
        {"name": "Authorization", "value": f"{KEY}\r\nX-More: 1"},
        {"name": "A B", "value": KEY},
        {"ca_bundle": "no certificate"},
    ],
    ids=["no value", "no name", "two lines", "no header name", "no certificate"],
)
def test_a_secret_that_makes_no_sense_is_the_operators(
    harness: Harness, at_viewer: FakePacs, values: dict[str, str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        ViewerTokens(base(at_viewer), {}, secret(**values)).request_token({"studyUID": STUDY})
    assert KEY not in str(caught.value)
    assert at_viewer.received == []


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"token": "abc.def"}', JSON),
        (b'{"token": "abc.def"}', "text/plain"),
        (b"abc.def", "text/plain"),
        (b"abc.def\r\n", "text/plain; charset=ISO-8859-1"),
    ],
)
def test_a_token_is_found_in_json_and_in_text(body: bytes, content_type: str) -> None:
    with FakePacs(answer(200, body, content_type)) as server:
        assert ViewerTokens(base(server)).request_token({"studyUID": STUDY}) == "abc.def"


BAD: dict[str, Answer] = {
    "page": html(),
    "page as text": answer(200, b"<!DOCTYPE html><title>Log in</title>"),
    "word as a page": answer(200, b"denied", "text/html"),
    "message": answer(200, b"not allowed"),
    "empty": answer(200, b""),
    "blank": answer(200, b" \r\n"),
    "no content": answer(204),
    "too long for a text": answer(200, b"x" * 4097),
    "too long": answer(200, b'{"token": "' + b"x" * 100_000 + b'"}', JSON),
    "number": answer(200, b'{"token": 5}', JSON),
    "empty token": answer(200, b'{"token": ""}', JSON),
    "other json": answer(200, b'{"error": "denied"}'),
    "half a json": answer(200, b'{"token": "a', JSON),
    "not UTF-8": answer(200, b"\xff\xfe"),
    "redirect": answer(302, b"abc", Location="/elsewhere"),
    "redirect to nowhere": answer(302, b"abc", Location="http://[/"),
    "rejected": answer(403, b'{"token": "no"}', JSON),
    "broken": answer(500, b"abc"),
    "not gzip": answer(200, b"abc", Content_Encoding="gzip"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=list(BAD))
def test_an_answer_without_a_token_is_the_viewers_error(bad: Answer) -> None:
    with FakePacs(bad) as server, pytest.raises(ViewerError) as caught:
        ViewerTokens(base(server)).request_token({"studyUID": STUDY})
    assert (caught.value.status, caught.value.code) == (502, "VIEWER_ERROR")
    assert len(server.received) == 1


@pytest.mark.parametrize("gone", [hang_up, cut_off(b"ab", 10, "text/plain")], ids=["hangs up", "half an answer"])
def test_a_viewer_that_breaks_off(gone: Answer) -> None:
    with FakePacs(gone) as server, pytest.raises(ViewerError) as caught:
        ViewerTokens(base(server)).request_token({"studyUID": STUDY})
    assert (caught.value.status, caught.value.code) == (502, "VIEWER_UNREACHABLE")


def test_a_viewer_that_is_not_there() -> None:
    with pytest.raises(ViewerError) as caught:
        ViewerTokens("http://127.0.0.1:1/token").request_token({})
    assert (caught.value.status, caught.value.code) == (502, "VIEWER_UNREACHABLE")


@pytest.mark.parametrize("slow", [stall, drip([b"a"] * 100, 0.1, "text/plain")], ids=["stalls", "drips"])
def test_a_viewer_that_takes_too_long(slow: Answer) -> None:
    with FakePacs(slow) as server, pytest.raises(ViewerError) as caught:
        ViewerTokens(base(server), seconds=0.3).request_token({"studyUID": STUDY})
    assert (caught.value.status, caught.value.code) == (504, "VIEWER_TIMEOUT")


def test_the_key_goes_to_no_other_place(harness: Harness) -> None:
    # GIVEN a viewer that redirects to another host of the operator's
    with FakePacs(json_viewer) as other:
        elsewhere: Any = answer(302, b"", Location=f"{base(other)}/token")
        with FakePacs(elsewhere) as server, pytest.raises(ViewerError):
            ViewerTokens(base(server), {}, secret(name="X-Key", value=KEY)).request_token({"studyUID": STUDY})
    assert len(server.received) == 1
    assert other.received == []


def test_one_function_may_read_the_viewers_secret() -> None:
    policies = {name: str(resource["Properties"].get("Policies")) for name, resource in RESOURCES.items()}
    assert [name for name, text in policies.items() if "ViewerSecretArn" in text] == ["IssueOtpRole"]
