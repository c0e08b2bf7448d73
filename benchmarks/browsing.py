"""A deployed stack and a browser in front of it, for the parts that measure pages."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, sync_playwright

from local.stack import LocalStack
from tests.support.browser import SIZES, launch
from tests.support.stack import Stack, temporary_settings

# Milliseconds. What is warm takes seconds; the first call of each function unpacks its layers.
PATIENCE = 60_000


@contextmanager
def deployed(*flags: str) -> Iterator[tuple[Stack, Browser]]:
    """Start a stack of its own and a browser with these flags; stop both in the end."""
    with temporary_settings() as settings, sync_playwright() as playwright:
        local = LocalStack(settings)
        try:
            stack = Stack(local, local.up())
            browser = launch(playwright, *flags)
            yield stack, browser
            browser.close()
        finally:
            local.down()


@contextmanager
def profile(browser: Browser, size: str, **options: Any) -> Iterator[BrowserContext]:
    """Open a profile of its own, whose cache is empty."""
    context = browser.new_context(**SIZES[size], locale="en-GB", **options)
    context.set_default_timeout(PATIENCE)
    try:
        yield context
    finally:
        context.close()
