"""The share page with a hole in it: one line of a module written otherwise, on its way to the browser."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Route


@dataclass(frozen=True)
class Hole:
    """One line of a module of the share page, written otherwise, and the test that has to find it."""

    module: str
    line: str
    instead: str
    test: Callable[..., None]


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
