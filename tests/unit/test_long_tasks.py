"""The benchmarks see the long tasks of a page, each once, and know where they see none."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from benchmarks.desk import Tasks
from benchmarks.servers import WorkNotDone

_LENGTH = 300  # far above what a busy machine makes of a short one
_BUSY = """(length) => new Promise((done) => setTimeout(() => {
  const end = performance.now() + length;
  while (performance.now() < end);
  done();
}))"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def test_a_long_task_is_seen_once_however_often_the_page_is_watched(page: Page) -> None:
    Tasks(page)
    tasks = Tasks(page)
    # Its length is told in whole milliseconds.
    page.evaluate(_BUSY, _LENGTH + 5)
    assert tasks.row("busy").ours >= _LENGTH
    assert page.evaluate(f"tasks.filter((length) => length >= {_LENGTH}).length") == 1


def test_what_was_before_is_left_out(page: Page) -> None:
    page.evaluate(_BUSY, _LENGTH)
    assert Tasks(page).row("quiet").ours < _LENGTH


def test_a_browser_that_tells_of_none_has_not_done_the_work(page: Page) -> None:
    page.evaluate("() => { window.PerformanceObserver = class { observe() {} }; }")
    with pytest.raises(WorkNotDone):
        Tasks(page)
