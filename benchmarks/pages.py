"""The share page on a phone: from the press to the first picture, and 300 slices scrolled, on the deployed stack.

The phone is Chromium with a processor four times as slow and a line of 9 Mbit/s with 170 ms to and fro. Each opening
has a code and a profile of its own; the functions are warm. Bytes are what the browser received, headers included.
"""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from playwright.sync_api import Browser, Page

from benchmarks.browsing import deployed, profile
from benchmarks.servers import WorkNotDone
from benchmarks.table import Row
from tests.support.page_exams import Exam, ct

OPENINGS, WARM_UP = 20, 3
SLICES, SIDE, MIDDLE = 300, 512, 151
STEP_EVERY = 0.1
_SHOWN = '.stage[data-shown="{}"]:not(.busy)'
_LINE = {"offline": False, "latency": 170, "downloadThroughput": 9e6 / 8, "uploadThroughput": 9e6 / 8}
# When the button was pressed and each picture came onto the stage, by the browser's own clock.
_WATCH = """() => {
  window.shown = [];
  addEventListener('click', () => { window.pressed ??= performance.now(); }, true);
  const note = () => {
    const stage = document.querySelector('.stage');
    const at = stage && !stage.classList.contains('busy') && stage.dataset.shown;
    if (at && at !== window.shown.at(-1)?.[0]) window.shown.push([at, performance.now()]);
  };
  new MutationObserver(note).observe(document.body, {subtree: true, attributes: true, childList: true});
}"""


def measure() -> Iterator[Row]:
    """Return the time and the bytes of the first picture, and how slices follow the finger."""
    with deployed() as (stack, browser):
        exam = Exam(stack).add("CT", "Axial", ct(SLICES, SIDE))
        yield from _first_pictures(browser, exam)
        yield from _scrolled(browser, exam)


@contextmanager
def _phone(browser: Browser, exam: Exam) -> Iterator[tuple[Page, list[float]]]:
    with profile(browser, "phone") as context:
        page = context.new_page()
        received: list[float] = []
        session = context.new_cdp_session(page)
        session.send("Network.enable")
        session.send("Network.emulateNetworkConditions", _LINE)
        session.send("Emulation.setCPUThrottlingRate", {"rate": 4})
        session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
        page.goto(exam.link())
        page.locator("button.primary").wait_for()
        page.evaluate(_WATCH)
        yield page, received


def _first_pictures(browser: Browser, exam: Exam) -> Iterator[Row]:
    times, stacks, sizes = [], [], []
    for opening in range(OPENINGS + WARM_UP):
        with _phone(browser, exam) as (page, received):
            page_size = sum(received)
            page.locator("button.primary").click()
            page.wait_for_selector(".stage[data-shown]")
            size = sum(received)
            page.wait_for_selector(_SHOWN.format(MIDDLE))
            came = page.evaluate("window.shown.map(([, at]) => at - window.pressed)")
            if opening >= WARM_UP:
                times.append(came[0])
                stacks.append(came[-1])
                sizes.append((page_size, size))
    times.sort()
    yield Row("share page: press to first picture, p50 of 20", "phone, 9 Mbit/s, 170 ms", times[9], "ms", aim=2000)
    yield Row("share page: press to first picture, p95 of 20", "", times[18], "ms")
    yield Row("share page: press to the stack, p50 of 20", "", statistics.median(stacks), "ms")
    yield Row("share page: bytes before the press", "", statistics.median(s[0] for s in sizes) / 1000, "kB", aim=40)
    yield Row(
        "share page: bytes to the first picture", "", statistics.median(s[1] for s in sizes) / 1000, "kB", aim=150
    )


def _scrolled(browser: Browser, exam: Exam) -> Iterator[Row]:
    with _phone(browser, exam) as (page, _):
        page.locator("button.primary").click()
        page.wait_for_selector(_SHOWN.format(MIDDLE))
        stage = page.locator(".stage")
        stage.press("Home")
        page.wait_for_selector(_SHOWN.format(1))
        page.evaluate("window.shown.length = 0")
        started = time.monotonic()
        for step in range(1, SLICES):
            page.keyboard.press("ArrowDown")  # where the focus is; cheaper for the driver than to look for it each time
            time.sleep(max(0, started + step * STEP_EVERY - time.monotonic()))
        # A machine that is busy with other work may lose a picture; the page then offers to try again.
        last, again = page.locator(_SHOWN.format(SLICES)), page.locator(".stack .message button")
        last.or_(again).first.wait_for()
        while not last.is_visible():
            again.click()
            last.or_(again).first.wait_for()
        shown = page.evaluate("window.shown")
    if shown[-1][0] != str(SLICES) or len(shown) < 2:
        raise WorkNotDone("the last slice did not come")
    moments = [moment for _, moment in shown]
    longest = max(later - earlier for earlier, later in pairwise(moments))
    rate = (len(shown) - 1) / ((moments[-1] - moments[0]) / 1000)
    yield Row("share page: pictures a second, 300 slices at 10 a second", "phone", rate, "/s")
    yield Row("share page: longest wait between two of them", "", longest, "ms")
    yield Row("share page: slices that were shown of 300", "", len(shown), "")
