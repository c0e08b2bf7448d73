"""What comes between while an exam is brought in, and an exam as one ZIP (``SOAK=1``: of 60 MB instead of 6).

The outage takes 13 s, mostly the pause before the ingest tries again: ``SOAK=1`` too.
"""

import os
import random
import time
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import PATIENCE
from tests.support.desk import bring, desk, drop, folder_of
from tests.support.stack import Stack
from tests.support.upload_files import ROOT, dicom
from tests.support.waiting import wait_for

SOAK = bool(os.environ.get("SOAK"))
ZIP = 60 if SOAK else 6
A_FILE = 1_000_000


def instances(stack: Stack, study: str) -> int:
    answer = stack.pacs_request("GET", f"/studies/{study}/instances", headers={"Accept": "application/dicom+json"})
    return len(answer.json()) if answer.status_code == 200 else 0


@pytest.mark.skipif(not SOAK, reason="13 s: SOAK=1")
def test_a_pacs_that_is_down_is_waited_for_and_every_file_arrives(
    stack: Stack, browser: Browser, tmp_path: Path
) -> None:
    name = "Winter^Paul"
    study = folder_of(tmp_path, name)[name]
    with desk(browser, stack) as at:
        page = at.page
        met = stack.log.count("store failed")
        stack.orthanc.stop()
        try:
            # WHEN files come while nobody takes them
            bring(page, tmp_path)
            page.locator("summary", has_text="Files").first.click()
            expect(page.locator('.file[data-state="received"]')).to_have_count(3, timeout=PATIENCE)
            wait_for(lambda: stack.log.count("store failed") > met)
            # THEN they are not said to have arrived, nor to have failed
            page.get_by_role("heading", name="Being brought in").wait_for()
            expect(page.locator('.file[data-state="received"]')).to_have_count(3)
        finally:
            stack.orthanc.start()
        # AND they arrive by themselves
        page.get_by_role("heading", name="Everything has arrived").wait_for()
        expect(page.locator('.file[data-state="stored"]')).to_have_count(3)
        page.locator(f'.exam-row[data-study="{study}"]').wait_for()
    assert instances(stack, study) == 3


def test_a_dropped_folder_arrives_with_the_folders_in_it(stack: Stack, browser: Browser, tmp_path: Path) -> None:
    name = "Sommer^Lea"
    study = folder_of(tmp_path, name)[name]
    with desk(browser, stack) as at:
        drop(at.page, tmp_path)
        at.page.get_by_role("heading", name="Everything has arrived").wait_for()
        at.page.get_by_text("3 of 3 files").wait_for()
        at.page.locator(f'.exam-row[data-study="{study}"]').wait_for()
    assert instances(stack, study) == 3


# As the upload engine, with a memory that takes long to open and has an upload that was interrupted.
_SLOW_MEMORY = """
const opened = new Promise((open) => { window.openMemory = open; });
const interrupted = async () => [{ job: 1, files: 3, sent: 1, startedAt: 0 }];
const study = { studyInstanceUID: "1.2.3", modalities: ["CT"], images: 1, bytes: 1 };
const patients = [{ name: "Adler^Max", id: "1", studies: [study] }, { name: "Blum^Eva", id: "2", studies: [] }];
export const openStore = async () => (await opened, { interrupted });
export const filesOf = (files) => [...files];
export const filesDropped = filesOf;
const files = [{ path: "IM1", study: study.studyInstanceUID }];
const warnings = [{ code: "SEVERAL_PATIENTS" }];
export const inspect = async () => ({ files, skipped: [], warnings, patients });
export const serviceApi = () => null;
window.uploads = 0;
export class Upload extends EventTarget {
  state = "done";
  constructor() {
    super();
    window.uploads += 1;
  }
  start() {}
}
"""
_ASKED = "This belongs to more than one patient"


def test_what_was_interrupted_before_is_not_offered_over_what_was_chosen(
    stack: Stack, browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "IM1").write_bytes(b"1")
    with desk(browser, stack) as at:
        page = at.page
        page.route("**/engine.js", lambda route: route.fulfill(content_type="text/javascript", body=_SLOW_MEMORY))
        page.reload()
        bring(page, tmp_path)
        page.get_by_role("heading", name=_ASKED).wait_for()
        page.evaluate("window.openMemory()")
        page.evaluate("new Promise((done) => setTimeout(done, 200))")
        assert page.get_by_role("heading", level=2).all_inner_texts() == [_ASKED]


def test_pressing_twice_sends_once(stack: Stack, browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "IM1").write_bytes(b"1")
    with desk(browser, stack) as at:
        page = at.page
        page.route("**/engine.js", lambda route: route.fulfill(content_type="text/javascript", body=_SLOW_MEMORY))
        page.reload()
        bring(page, tmp_path)
        page.get_by_role("heading", name=_ASKED).wait_for()
        page.get_by_role("checkbox").first.check()
        page.locator("form.plan").evaluate("(form) => { form.requestSubmit(); form.requestSubmit(); }")
        page.evaluate("window.openMemory()")
        wait_for(lambda: page.evaluate("window.uploads"))
        assert page.evaluate("window.uploads") == 1


def test_a_zip_is_sent_as_it_is_and_each_instance_arrives(stack: Stack, browser: Browser, tmp_path: Path) -> None:
    study = f"{ROOT}.{time.time_ns()}"
    noise = random.Random(study).randbytes(A_FILE)
    with zipfile.ZipFile(tmp_path / "exam.zip", "w") as archive:
        for number in range(ZIP):
            content = dicom(number, study=study, pixels=A_FILE)[:-A_FILE] + noise[number:] + noise[:number]
            archive.writestr(f"IM{number:03}", content)
    with desk(browser, stack) as at:
        bring(at.page, tmp_path / "exam.zip")
        at.page.get_by_role("heading", name="Everything has arrived").wait_for()
        at.page.get_by_text("1 of 1 files").wait_for()
        row = at.page.locator(f'.exam-row[data-study="{study}"]')
        row.get_by_text(f"{ZIP} images").wait_for()
    assert instances(stack, study) == ZIP
