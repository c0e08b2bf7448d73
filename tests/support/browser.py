"""A real browser at two sizes, and what it must never do: ask elsewhere, break the policy, fail unseen."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, Request, expect

from local.settings import SHARED
from tests.support.waiting import wait_for
from web.npm import fetch

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARTIFACTS = Path(__file__).parents[1] / ".artifacts"
# Milliseconds; the first call of a function unpacks its layers, and test runs share the cores.
PATIENCE = 120_000
expect.set_options(timeout=PATIENCE)
# What a browser keeps of an origin that has left nothing behind.
NOTHING: dict[str, Any] = {"session": {}, "local": {}, "cookies": "", "caches": [], "databases": []}
AXE = Path(__file__).with_name("axe.json")
# The rules of WCAG 2.2 up to AA, and what axe calls best practice.
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SIZES: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 800}},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "has_touch": True,
        "is_mobile": True,
        "device_scale_factor": 3,
    },
}


def launch(playwright: Playwright, *flags: str) -> Browser:
    """Start Debian's Chromium, with more flags if there are any; WebGL is drawn without a graphics card."""
    args = ["--no-sandbox", "--enable-unsafe-swiftshader", *flags]
    return playwright.chromium.launch(executable_path=CHROMIUM, args=args)


# Not each violation is a line of the console by itself: one whose exception is caught is none.
_SAY_VIOLATIONS = """document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`Content Security Policy: ${event.effectiveDirective} stopped ${event.blockedURI}`));"""


@dataclass
class Tab:
    """One page of a browser, with everything that it asked for and complained about."""

    page: Page
    origin: str
    asked: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._request)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        self.asked.append(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and f"{parts.scheme}://{parts.netloc}" != self.origin:
            self.elsewhere.append(request.url)

    def _said(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text or "Trusted Type" in message.text:
            self.violations.append(message.text)

    def until(self, script: str) -> Any:
        """Wait until a script returns something true; its policy lets the page itself evaluate nothing."""
        return wait_for(lambda: self.page.evaluate(script), PATIENCE / 1000)

    def check(self) -> None:
        """Fail if the page asked another origin, broke its policy, or threw."""
        assert self.asked
        assert (self.elsewhere, self.violations, self.errors) == ([], [], [])

    def shown(self, number: int) -> None:
        """Wait until the picture with this number is on the stage."""
        self.page.wait_for_selector(f'.stage[data-shown="{number}"]:not(.busy)')

    def choose(self, series: str) -> None:
        """Press a series until it is chosen: reports that appear above it move it away below the pointer."""
        button = self.page.get_by_role("button", name=series)

        def pressed() -> bool:
            button.click()
            return button.get_attribute("aria-pressed") == "true"

        wait_for(pressed)

    def remembered(self) -> dict[str, Any]:
        """Return what the browser keeps of this origin."""
        kept: dict[str, Any] = self.page.evaluate(
            "async () => ({session: {...sessionStorage}, local: {...localStorage}, cookies: document.cookie,"
            " caches: await caches.keys(), databases: (await indexedDB.databases()).map((d) => d.name)})"
        )
        return kept

    def picture(self, name: str) -> None:
        """Save a screenshot where people look at it."""
        ARTIFACTS.mkdir(exist_ok=True)
        self.page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)


@contextmanager
def tab(browser: Browser, url: str, size: str = "desktop", **options: Any) -> Iterator[Tab]:
    """Open a tab in a profile of its own; what it must never do is checked when it is closed."""
    context: BrowserContext = browser.new_context(**{"locale": "en-GB"} | SIZES[size] | options)
    context.set_default_timeout(PATIENCE)
    context.add_init_script(_SAY_VIOLATIONS)
    parts = urlsplit(url)
    try:
        opened = Tab(context.new_page(), f"{parts.scheme}://{parts.netloc}")
        opened.page.goto(url)
        yield opened
        opened.check()
    finally:
        context.close()


@cache
def _axe() -> str:
    with fetch(AXE, SHARED / "downloads") as package:
        stream = package.extractfile("package/axe.min.js")
        assert stream
        return stream.read().decode("utf-8")


def axe_violations(page: Page) -> list[str]:
    """Return what axe-core finds wrong with the page as it is now, rule and element."""
    # Through the debugger, which no policy of the page stops.
    page.evaluate(f"() => {{ {_axe()} }}")
    found = page.evaluate("(tags) => axe.run({runOnly: tags, resultTypes: ['violations']})", _RULES)
    assert len(found["passes"]) > 5
    return [f"{rule['id']}: {node['html']}" for rule in found["violations"] for node in rule["nodes"]]
