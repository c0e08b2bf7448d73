"""What the other tests of this folder watch for is found when it happens: pages with a hole in them."""

import inspect
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import pytest
from playwright.sync_api import Browser, BrowserContext, Route
from playwright.sync_api import TimeoutError as TooLate

from tests.e2e.pages import test_opening
from tests.support.browser import NOTHING, tab
from tests.support.page_exams import Exam
from tests.support.stack import Stack

SOAK = bool(os.environ.get("SOAK"))
POLICY = "default-src 'none'; script-src 'self'; img-src *"
SCRIPTS = {
    "good": "document.title = 'good'",
    "elsewhere": "new Image().src = 'http://127.0.0.1:9/a.png'",
    "violations": "try { eval('1') } catch {}",
    "errors": "setTimeout(() => { throw new Error('unseen') })",
    "kept": "localStorage.setItem('left', 'behind')",
}


class _Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name, _, suffix = self.path.strip("/").partition(".")
        text = SCRIPTS[name] if suffix else f"<!doctype html><link rel=icon href=data:,><script src={name}.js></script>"
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript" if suffix else "text/html")
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("hole", ["elsewhere", "violations", "errors"])
def test_a_page_that_asks_elsewhere_breaks_its_policy_or_throws_is_found(
    browser: Browser, pages: str, hole: str
) -> None:
    with tab(browser, f"{pages}/good") as at:
        at.until("document.title === 'good'")
    found: dict[str, list[str]] = {}
    with pytest.raises(AssertionError), tab(browser, f"{pages}/{hole}") as at:
        at.page.evaluate("new Promise((resolve) => setTimeout(resolve))")
        found |= {name: getattr(at, name) for name in ("elsewhere", "violations", "errors")}
    assert [name for name, seen in found.items() if seen] == [hole]


def test_what_a_page_leaves_behind_is_found(browser: Browser, pages: str) -> None:
    with tab(browser, f"{pages}/good") as at:
        assert at.remembered() == NOTHING
    with tab(browser, f"{pages}/kept") as at:
        assert at.remembered() == NOTHING | {"local": {"left": "behind"}}


@dataclass(frozen=True)
class Hole:
    """One line of a module of the share page, written otherwise, and the test that has to find it."""

    module: str
    line: str
    instead: str
    test: Callable[..., None]


HOLES = {
    "the code is used up before the press": Hole(
        "app.js",
        "else showLanding();",
        "else { if (sessions.pending()) await api.redeem(sessions.pending()); showLanding(); }",
        test_opening.test_nothing_is_redeemed_before_the_press,
    ),
    "all recipients send one key": Hole(
        "session.js",
        "crypto.randomUUID()",
        '"0e6a1c5e-97b4-4f2d-8a3b-5d1c7e9f2b48"',
        test_opening.test_the_same_link_again_is_refused_and_says_what_to_do,
    ),
    "each try sends another key": Hole(
        "api.js",
        '"Idempotency-Key": pending.key',
        '"Idempotency-Key": crypto.randomUUID()',
        test_opening.test_an_answer_that_is_lost_burns_nothing,
    ),
    "the session is kept when it ends": Hole(
        "session.js", "sessionStorage.clear();", "", test_opening.test_what_is_revoked_while_it_is_open_closes
    ),
    "something is kept for good": Hole(
        "session.js",
        "sessionStorage.clear();",
        'sessionStorage.clear(); localStorage.setItem("left", "behind");',
        test_opening.test_what_is_revoked_while_it_is_open_closes,
    ),
    "the policy is broken": Hole(
        "app.js",
        "sessions.takeFragment();\nawait",
        'try { eval("1") } catch {}\nsessions.takeFragment();\nawait',
        test_opening.test_the_right_birth_date_opens_it,
    ),
}


class Holed:
    """A browser in which one module of the share page has a hole."""

    def __init__(self, browser: Browser, hole: Hole) -> None:
        self._browser, self._hole = browser, hole
        self.served = 0

    def new_context(self, **options: Any) -> BrowserContext:
        context = self._browser.new_context(**options)
        context.route(f"**/share/*/{self._hole.module}", self._serve)
        return context

    def _serve(self, route: Route) -> None:
        given = route.fetch()
        text = given.text()
        assert text.count(self._hole.line) == 1, self._hole
        self.served += 1
        headers = {name: value for name, value in given.headers.items() if name != "content-encoding"}
        route.fulfill(status=200, headers=headers, body=text.replace(self._hole.line, self._hole.instead))


@pytest.mark.skipif(not SOAK, reason="part of make soak")
@pytest.mark.parametrize("name", HOLES)
def test_the_hole_is_found(
    stack: Stack, browser: Browser, small_exam: Exam, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hole = HOLES[name]
    holed = Holed(browser, hole)
    given = {"stack": stack, "browser": cast("Browser", holed), "small_exam": small_exam}
    wanted = {each: given[each] for each in inspect.signature(hole.test).parameters}
    hole.test(**wanted | {"browser": browser})  # without the hole it passes, on warm functions
    monkeypatch.setattr("tests.support.browser.PATIENCE", 20_000)
    with pytest.raises((AssertionError, TooLate)):
        hole.test(**wanted)
    assert holed.served
