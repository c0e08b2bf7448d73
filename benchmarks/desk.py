"""A folder brought in by a browser, against scripts.upload_exam with the same files; how long its page stands still.

Both end when the PACS has every file, which is counted after the clock has stopped; each round has new instances. The
browser's clock starts when the person has confirmed what was inspected, the script's when it is called.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from benchmarks.files import template
from benchmarks.servers import WorkNotDone
from benchmarks.table import Pairs, Row
from local.stack import LocalStack
from scripts import upload_exam
from tests.support.browser import launch
from tests.support.counting_proxy import CountingProxy
from tests.support.desk import bring, desk, long_lists, view
from tests.support.stack import Stack, temporary_settings
from tests.support.upload_page import UploadPage, memory_of, processes_of_tabs, profile, proxied

FILES, SIDE, WARM_UP, ROUNDS = 500, 512, 40, 3
DROPPED = 1000
PAGES, SWITCHES = 20, 10
_NAME = f"browser: {FILES} files of 0.5 MB"
# Tasks of 50 ms and more (Long Tasks API), from now on. It ends with one that is surely seen where any is.
_WATCH = """async () => {
  const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
  window.tasks ??= [];
  const add = (list) => tasks.push(...list.getEntries().map(({ duration }) => duration));
  window.watching ??= new PerformanceObserver(add);
  watching.observe({ type: "longtask" });
  await wait(0);
  const end = performance.now() + 60;
  while (performance.now() < end);
  await wait(200);
  return tasks.splice(0).length;
}"""
_SEEN = "() => new Promise((done) => setTimeout(() => done(tasks), 200))"


class Tasks:
    """Tasks of a page's thread, from now on, that keep it from answering."""

    def __init__(self, page: Page) -> None:
        self._page = page
        if not page.evaluate(_WATCH):
            raise WorkNotDone("a task of 60 ms was not seen")

    def row(self, measured: str) -> Row:
        """Return the longest; 0 where none took 50 ms."""
        seen = self._page.evaluate(_SEEN)
        return Row(measured, f"{len(seen)} of 50 ms and more", max(seen, default=0.0), "ms", aim=100)


def measure() -> Iterator[Row]:
    """Return time, longest task of the page's thread, memory of the tab, and time to the first byte."""
    with temporary_settings() as settings, sync_playwright() as playwright:
        local = LocalStack(settings)
        try:
            stack = Stack(local, local.up())
            browser = launch(playwright)
            with proxied(stack) as proxy, tempfile.TemporaryDirectory() as folder:
                yield from _against_the_script(stack, browser, proxy, Path(folder))
                yield from _first_byte(stack, browser, proxy, Path(folder))
                yield from _at_the_desk(stack, browser, Path(folder))
            yield from _long_lists(stack, browser)
            browser.close()
        finally:
            local.down()


def _files(folder: Path, count: int) -> tuple[Path, str]:
    """Write an exam of so many files; return its folder and its study."""
    exam = folder / f"exam-{time.monotonic_ns()}"
    exam.mkdir()
    made = template(SIDE).exam(count)
    for number, file in enumerate(made):
        (exam / f"IM{number:05}").write_bytes(file.content)
    return exam, made[0].study_uid


def _check(stack: Stack, study: str, count: int) -> None:
    answer = stack.pacs_request("GET", f"/studies/{study}/instances", headers={"Accept": "application/dicom+json"})
    if answer.status_code != 200 or len(answer.json()) != count:
        raise WorkNotDone(f"the PACS does not have the {count} instances")


def _against_the_script(stack: Stack, browser: Browser, proxy: CountingProxy, folder: Path) -> Iterator[Row]:
    ours, theirs = [], []
    for turn in range(ROUNDS + 1):
        count = FILES if turn else WARM_UP
        for side in ("browser", "script")[:: 1 if turn % 2 else -1]:
            exam, study = _files(folder, count)
            if side == "script":
                theirs.append(_by_script(stack, exam))
            else:
                ours.append(_by_browser(stack, browser, proxy, exam, count))
            _check(stack, study, count)
            shutil.rmtree(exam)
    ours, theirs = ours[1:], theirs[1:]
    times = Pairs(tuple(each.seconds for each in ours), tuple(theirs))
    yield times.row(_NAME, "scripts.upload_exam, the same files", aim=1.25)
    looked = statistics.median(each.inspected for each in ours)
    yield Row(f"browser: inspection of {FILES} files of 0.5 MB", "", looked, "s")
    yield max((each.longest for each in ours), key=lambda row: row.ours)
    most = max(each.grown for each in ours)
    yield Row("browser: growth of the tab's memory while 250 MB are sent", f"{ROUNDS} uploads", most, "MB", aim=64)
    kept = max(each.kept for each in ours)
    yield Row("browser: what of that is left after a collection", f"{ROUNDS} uploads", kept, "MB", aim=16)


def _by_script(stack: Stack, exam: Path) -> float:
    silent = io.StringIO()
    begun = time.monotonic()
    with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        code = upload_exam.main([str(exam), "--api-url", stack.api_url, "--key", stack.service_key])
    taken = time.monotonic() - begun
    if code:
        raise WorkNotDone(silent.getvalue()[-500:])
    return taken


@dataclass(frozen=True)
class Sent:
    """An upload: seconds of inspection and sending, the longest task, by how many MB the tab grew and stayed grown."""

    inspected: float
    seconds: float
    longest: Row
    grown: float
    kept: float


def _by_browser(stack: Stack, browser: Browser, proxy: CountingProxy, exam: Path, count: int) -> Sent:
    # The page comes through the proxy, everything else past it.
    with profile(browser, proxy, bypass=f"<-loopback>,127.0.0.1:{stack.local.settings.ports.api}") as context:
        tab = UploadPage(context, stack)
        tasks = Tasks(tab.page)
        begun = time.monotonic()
        tab.inspect(exam)
        looked = time.monotonic() - begun
        _collect(context, tab.page)
        pids = processes_of_tabs(browser)
        first = most = memory_of(pids)
        begun = time.monotonic()
        tab.start()
        while (progress := tab.progress)["state"] == "running":
            most = max(most, memory_of(pids))
            time.sleep(0.25)
        taken = time.monotonic() - begun
        if progress["counts"] != {"stored": count}:
            raise WorkNotDone(str(progress["counts"]))
        longest = tasks.row(f"browser: longest task of the page's thread, {count} files inspected and sent")
        _collect(context, tab.page)
        kept = memory_of(pids)
        return Sent(looked, taken, longest, (most - first) / 1e6, (kept - first) / 1e6)


def _collect(context: BrowserContext, page: Page) -> None:
    """Have the page collect what nothing refers to any more."""
    session = context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.detach()


def _first_byte(stack: Stack, browser: Browser, proxy: CountingProxy, folder: Path) -> Iterator[Row]:
    exam, study = _files(folder, DROPPED)
    with profile(browser, proxy) as context:
        tab = UploadPage(context, stack)
        tab.inspect(exam)
        proxy.first_byte = {}
        confirmed = time.monotonic()
        tab.start()
        tab.until_done(900)
    _check(stack, study, DROPPED)
    shutil.rmtree(exam)
    first = min(at for path, at in proxy.first_byte.items() if path.startswith(f"/{stack.staging_bucket}"))
    name = f"browser: from the confirmation of {DROPPED} files to the first byte at S3"
    yield Row(name, "counted by a proxy", (first - confirmed) * 1000, "ms", aim=1000)


def _at_the_desk(stack: Stack, browser: Browser, folder: Path) -> Iterator[Row]:
    """Bring files in at the desk itself, while somebody looks at the list of them."""
    exam, study = _files(folder, DROPPED)
    with desk(browser, stack) as at:
        tasks = Tasks(at.page)
        bring(at.page, exam)
        at.page.locator("summary", has_text="Files").first.click()
        at.page.get_by_role("heading", name="Everything has arrived").wait_for(timeout=300_000)
        expect(at.page.locator('.file[data-state="stored"]')).to_have_count(50)
        yield tasks.row(f"desk: longest task, {DROPPED} files of 0.5 MB brought in, their list in sight")
    _check(stack, study, DROPPED)
    shutil.rmtree(exam)


def _long_lists(stack: Stack, browser: Browser) -> Iterator[Row]:
    """Turn pages of ten thousand exams, and switch to a thousand workitems and back; the answers are made up."""
    with desk(browser, stack) as at:
        page = at.page
        long_lists(page)
        view(page, "Exams")
        page.get_by_text("1 to 50", exact=True).wait_for()
        tasks = Tasks(page)
        for start in range(51, 51 + 50 * PAGES, 50):
            page.get_by_role("button", name="Next page").click()
            page.get_by_text(f"{start:,} to {start + 49:,}", exact=True).wait_for()
        expect(page.locator(".exam-row")).to_have_count(50)
        yield tasks.row(f"desk: longest task, {PAGES} pages of 10,000 exams turned")
        tasks = Tasks(page)
        for turn in range(SWITCHES):
            view(page, "Worklist")
            page.get_by_text("1 to 50", exact=True).wait_for()
            page.get_by_label("Station", exact=True).select_option(f"ST{turn % 5}")
            expect(page.locator(".item")).to_have_count(50)
            view(page, "Exams")
            page.get_by_text("1 to 50", exact=True).wait_for()
        yield tasks.row(f"desk: longest task, {SWITCHES} times from exams to 1,000 workitems and back")
