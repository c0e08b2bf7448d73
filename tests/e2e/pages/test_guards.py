"""What the other tests of this folder watch for is found when it happens: pages with a hole in them."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser

from tests.support.browser import NOTHING, tab

POLICY = "default-src 'none'; script-src 'self'; img-src * data:"
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
