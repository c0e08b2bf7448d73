"""A folder brought in by a browser, against scripts.upload_exam with the same files.

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
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from benchmarks.files import template
from benchmarks.servers import WorkNotDone
from benchmarks.table import Pairs, Row
from local.stack import LocalStack
from scripts import upload_exam
from tests.support.browser import launch
from tests.support.counting_proxy import CountingProxy
from tests.support.stack import Stack, temporary_settings
from tests.support.upload_page import UploadPage, memory_of_tabs, profile, proxied

FILES, SIDE, WARM_UP, ROUNDS = 500, 512, 40, 3
DROPPED = 1000
_NAME = f"browser: {FILES} files of 0.5 MB"


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
    ours, theirs, tasks, inspected, grown = [], [], [], [], []
    for turn in range(ROUNDS + 1):
        count = FILES if turn else WARM_UP
        for side in ("browser", "script")[:: 1 if turn % 2 else -1]:
            exam, study = _files(folder, count)
            if side == "script":
                taken = _by_script(stack, exam)
            else:
                taken, looked, longest, more = _by_browser(stack, browser, proxy, exam)
            _check(stack, study, count)
            shutil.rmtree(exam)
            if not turn:
                continue
            if side == "script":
                theirs.append(taken)
            else:
                ours.append(taken)
                inspected.append(looked)
                tasks.append(longest)
                grown.append(more)
    yield Pairs(tuple(ours), tuple(theirs)).row(_NAME, "scripts.upload_exam, the same files", aim=1.25)
    yield Row(f"browser: inspection of {FILES} files of 0.5 MB", "", statistics.median(inspected), "s")
    yield Row("browser: longest task of the page's thread", f"{ROUNDS} uploads", max(tasks), "ms", aim=100)
    yield Row(
        "browser: growth of the tab's memory while 250 MB are sent", f"{ROUNDS} uploads", max(grown), "MB", aim=64
    )


def _by_script(stack: Stack, exam: Path) -> float:
    silent = io.StringIO()
    begun = time.monotonic()
    with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        code = upload_exam.main([str(exam), "--api-url", stack.api_url, "--key", stack.service_key])
    taken = time.monotonic() - begun
    if code:
        raise WorkNotDone(silent.getvalue()[-500:])
    return taken


def _by_browser(stack: Stack, browser: Browser, proxy: CountingProxy, exam: Path) -> tuple[float, float, float, float]:
    """Return seconds of the upload and of the inspection, the longest task, and by how many MB the tab grew."""
    # The page comes through the proxy, everything else past it.
    with profile(browser, proxy, bypass=f"<-loopback>,127.0.0.1:{stack.local.settings.ports.api}") as context:
        tab = UploadPage(context, stack)
        begun = time.monotonic()
        tab.choose(exam)
        looked = time.monotonic() - begun
        first = memory_of_tabs(browser)
        most = first
        begun = time.monotonic()
        tab.start()
        while tab.progress["state"] == "running":
            most = max(most, memory_of_tabs(browser))
            time.sleep(0.25)
        taken = time.monotonic() - begun
        report = tab.report
        if report["counts"] != {"stored": len(report["files"])}:
            raise WorkNotDone(str(report["counts"]))
        return taken, looked, tab.seen["longest"], (most - first) / 1e6


def _first_byte(stack: Stack, browser: Browser, proxy: CountingProxy, folder: Path) -> Iterator[Row]:
    exam, study = _files(folder, DROPPED)
    with profile(browser, proxy) as context:
        tab = UploadPage(context, stack)
        tab.choose(exam)
        proxy.first_byte = {}
        confirmed = time.monotonic()
        tab.start()
        tab.until_done(900)
        longest = tab.seen["longest"]
    _check(stack, study, DROPPED)
    first = min(at for path, at in proxy.first_byte.items() if path.startswith(f"/{stack.staging_bucket}"))
    name = f"browser: from the confirmation of {DROPPED} files to the first byte at S3"
    yield Row(name, "counted by a proxy", (first - confirmed) * 1000, "ms", aim=1000)
    yield Row(f"browser: longest task of the page's thread, {DROPPED} files", "", longest, "ms", aim=100)
