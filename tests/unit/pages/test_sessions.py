"""Who is signed in, in each tab of a browser: what signing out ends, and where the token is."""

import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright._impl._driver import compute_driver_executable

TABS = Path(__file__).parents[2] / "support" / "tabs.cjs"
SIGNED_IN = 'const first = desk(); first.sessions.keep({ accessToken: "dsk_1", endsAt: null, name: "ris" });\n'


def said_by(script: str) -> Any:
    """Run a script in the Node that Playwright brings; return what it returns."""
    command = [compute_driver_executable()[0], str(TABS)]
    done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_viewers_tab_has_the_token_in_no_address() -> None:
    said = said_by(
        SIGNED_IN + 'const tab = viewer(first.sessionStorage.copy(), "?StudyInstanceUIDs=1.2.3&customization=x");\n'
        'const access = JSON.stringify({ accessToken: "acc_1", endsAt: Date.now() + 1e6, studyUID: "4.5" });\n'
        'const shared = viewer({ "share.session": access }, "?StudyInstanceUIDs=1.2.3&customization=x");\n'
        "return [tab.header(), tab.addresses, tab.left, shared.header(), shared.addresses, shared.left];"
    )

    assert said[:3] == ["Bearer dsk_1", [], []]
    address = "http://here/v1/viewer/viewer?StudyInstanceUIDs=4.5&customization=x"
    assert said[3:] == ["Bearer acc_1", [address], []]


def test_signing_out_ends_the_session_in_every_tab() -> None:
    said = said_by(
        SIGNED_IN + "const copy = first.sessionStorage.copy(), second = desk(copy), tab = viewer(copy);\n"
        "let told = 0; second.sessions.whenSignedOutElsewhere(() => told++);\n"
        "first.sessions.whenSignedOutElsewhere(() => { throw new Error('its own'); });\n"
        "const before = [first.sessions.session().name, second.sessions.session().name, tab.header()];\n"
        "first.sessions.signOut();\n"
        "return { before, told, left: tab.left, kept: tab.sessionStorage.copy(), header: tab.header(),\n"
        "  first: first.sessions.session(), second: second.sessions.session() };"
    )

    assert said.pop("before") == ["ris", "ris", "Bearer dsk_1"]
    assert said == {
        "told": 1,
        "left": ["http://here/v1/desk"],
        "kept": {},
        "header": None,
        "first": None,
        "second": None,
    }


def test_a_copy_that_a_browser_brings_back_after_signing_out_is_no_session() -> None:
    said = said_by(
        SIGNED_IN + "const copy = first.sessionStorage.copy(); first.sessions.signOut();\n"
        "const again = desk(copy); again.sessions.adopt(); const tab = viewer(copy);\n"
        "return [again.sessions.session(), again.sessions.lastSession(), tab.header(), tab.left];"
    )

    assert said == [None, None, None, ["http://here/v1/desk"]]


def test_whoever_signs_in_after_somebody_signed_out_is_signed_in() -> None:
    said = said_by(
        SIGNED_IN + "first.sessions.signOut();\n"
        'first.sessions.keep({ accessToken: "dsk_2", endsAt: null, name: "b" });\n'
        'const left = { "desk.session": JSON.stringify({ accessToken: "dsk_3", endsAt: null, name: "c" }) };\n'
        "const linked = desk(left); linked.sessions.adopt();\n"
        "const copies = [first, linked].map((each) => viewer(each.sessionStorage.copy()).header());\n"
        "return [first.sessions.session().name, linked.sessions.session().name, copies];"
    )

    assert said == ["b", "c", ["Bearer dsk_2", "Bearer dsk_3"]]


def test_a_session_that_has_expired_gives_no_token_and_is_remembered_for_who_it_was() -> None:
    said = said_by(
        SIGNED_IN + "const tab = viewer(first.sessionStorage.copy()); first.sessions.expire();\n"
        "const late = viewer(first.sessionStorage.copy());\n"
        "return [first.sessions.session(), first.sessions.lastSession().name, tab.header(), late.header(), late.left];"
    )

    assert said == [None, "ris", "Bearer dsk_1", None, ["http://here/v1/desk"]]


@pytest.mark.parametrize(("audience", "hint"), [("desk", None), ("https://api", "id_1")])
def test_the_issuer_is_sent_no_credential_of_the_service_when_people_sign_out(audience: str, hint: str | None) -> None:
    settings = {"oidc-issuer": "https://id", "oidc-client": "desk", "oidc-audience": audience, "oidc-scope": "openid"}
    access = "id_1" if audience == "desk" else "acc_1"
    session = {"accessToken": access, "idToken": "id_1"}
    url = said_by(f"return issuer({json.dumps(settings)}).signOutUrl({json.dumps(session)});")

    assert url.startswith("https://id/end?")
    query = dict(parse_qsl(urlsplit(url).query))
    assert query.pop("id_token_hint", None) == hint
    assert query == {"client_id": "desk", "post_logout_redirect_uri": "http://here/v1/desk"}
