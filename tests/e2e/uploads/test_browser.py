"""A real browser brings a folder in through the deployed stack, from a page of another origin.

A proxy in front of the emulator counts what S3 is sent. ``SOAK=1`` takes 1,000 files and 2 GB.
"""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.counting_proxy import CountingProxy
from tests.support.stack import Stack
from tests.support.upload_files import ROOT, dicom, dicomdir, zipped
from tests.support.upload_page import UploadPage, profile, proxied
from tests.support.waiting import wait_for

SOAK = bool(os.environ.get("SOAK"))
FILES, BYTES, SILENCE, RATE = (1000, 2_000_000, 30, None) if SOAK else (24, 100_000, 3, 1e6)
LARGE = 200 if SOAK else 70
SECONDS = 900 if SOAK else 120
MIB = 1024 * 1024
# What a form adds to the file that it carries.
FORM = 8192


@pytest.fixture
def proxy(stack: Stack) -> Iterator[CountingProxy]:
    with proxied(stack) as running:
        yield running


_WITH_FORMS = "(json) => ({ ...json, files: json.files.map((file, n) => ({ ...file, ...forms[n] })) })"


def new_study() -> str:
    return f"{ROOT}.{time.time_ns()}"


def write(folder: Path, study: str, files: int = FILES, size: int = BYTES) -> int:
    """Write instances whose pixels do not pack away; return their bytes."""
    noise = random.Random(study).randbytes(size)
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    for number in range(1, files + 1):
        content = dicom(number, study=study, pixels=size)[:-size] + noise[number:] + noise[:number]
        (folder / f"IM{number:04}").write_bytes(content)
        total += len(content)
    return total


def in_pacs(stack: Stack, study: str) -> int:
    answer = stack.pacs_request("GET", f"/studies/{study}/instances", headers={"Accept": "application/dicom+json"})
    return len(answer.json()) if answer.status_code == 200 and answer.content else 0


def bytes_to_bucket(stack: Stack, proxy: CountingProxy) -> int:
    return sum(proxy.to_storage(f"/{stack.staging_bucket}").values())


def test_a_cd_is_inspected_before_anything_is_sent(
    stack: Stack, browser: Browser, proxy: CountingProxy, tmp_path: Path
) -> None:
    study, other = new_study(), new_study()
    cd = tmp_path / "cd"
    write(cd / "images", study, 3, 1000)
    write(cd / "other", other, 2, 1000)
    for path in (cd / "other").iterdir():
        path.write_bytes(path.read_bytes().replace(b"CANARY^PATIENT", b"ANOTHER^PERSON").replace(b"P1", b"P2"))
    (cd / "DICOMDIR").write_bytes(dicomdir())
    (cd / "viewer.exe").write_bytes(b"MZ" * 500)
    (cd / "empty").write_bytes(b"")
    (cd / "more.zip").write_bytes(zipped({"a": dicom(7, study=study)}))
    with profile(browser, proxy) as context:
        tab = UploadPage(context, stack)
        plan = tab.choose(cd)
        assert [(p["id"], p["name"], p["studies"][0]["images"]) for p in plan["patients"]] == [
            ("P2", "ANOTHER^PERSON", 2),
            ("P1", "CANARY^PATIENT", 3),
        ]
        assert {entry["path"]: entry["reason"] for entry in plan["skipped"]} == {
            "cd/DICOMDIR": "DICOMDIR",
            "cd/viewer.exe": "NOT_DICOM",
            "cd/empty": "EMPTY",
        }
        assert {warning["code"] for warning in plan["warnings"]} == {"SEVERAL_PATIENTS", "ZIPS_NOT_INSPECTED"}
        assert (plan["images"], plan["zips"]) == (5, 1)
        assert proxy.methods == {}
        tab.start()
        report = tab.until_done()
        assert report["counts"] == {"stored": 6}, report["files"]
        assert tab.complaints == []
    assert (in_pacs(stack, study), in_pacs(stack, other)) == (4, 2)
    # Another origin than the bucket's: without its CORS the browser would have sent nothing.
    assert proxy.methods["OPTIONS", stack.staging_bucket] > 0


def test_killed_at_half_it_goes_on_and_sends_no_finished_file_again(
    stack: Stack, browser: Browser, proxy: CountingProxy, tmp_path: Path
) -> None:
    study = new_study()
    total = write(tmp_path / "exam", study)
    proxy.rate = RATE
    with profile(browser, proxy) as context:
        first = UploadPage(context, stack)
        first.choose(tmp_path / "exam")
        first.start()
        first.until_sent(FILES // 2, SECONDS)
        first.kill()
        before = bytes_to_bucket(stack, proxy)
        assert before < total
        again = UploadPage(context, stack)
        again.choose(tmp_path / "exam")
        again.start()
        (interrupted,) = again.page.evaluate("desk.interrupted")
        assert interrupted["sent"] >= FILES // 2
        report = again.until_done(SECONDS)
        progress = again.progress
        kept = again.page.evaluate("desk.store.load()")
    sent = bytes_to_bucket(stack, proxy)
    print(
        f"{FILES} files, {total} bytes: killed after {before}, {sent} sent in all, {sent - total} more than the files"
    )
    assert report["counts"] == {"stored": FILES}
    assert in_pacs(stack, study) == FILES
    assert progress["filesResumed"] >= FILES // 2
    # Those under way at the kill, six at most, are sent again.
    assert sent - total <= FILES * FORM + 6 * (BYTES + FORM)
    assert kept == []


def test_a_large_file_goes_on_with_the_parts_that_are_missing(
    stack: Stack, browser: Browser, proxy: CountingProxy, tmp_path: Path
) -> None:
    study = new_study()
    total = write(tmp_path / "exam", study, 1, LARGE * MIB)
    proxy.rate = 30e6
    with profile(browser, proxy) as context:
        first = UploadPage(context, stack)
        first.choose(tmp_path / "exam")
        first.start()
        parts = wait_for(lambda: first.page.evaluate(_PARTS_THERE))
        first.kill()
        before = bytes_to_bucket(stack, proxy)
        proxy.rate = None
        again = UploadPage(context, stack)
        again.choose(tmp_path / "exam")
        again.start()
        assert again.progress["filesResumed"] == 1
        report = again.until_done()
    sent = bytes_to_bucket(stack, proxy)
    there = sum(min(64 * MIB, total - (number - 1) * 64 * MIB) for number in map(int, parts))
    print(f"{total} bytes: killed after {before}, parts {parts} were there, {sent} sent in all")
    assert report["counts"] == {"stored": 1}
    assert in_pacs(stack, study) == 1
    # What was there is not sent again; what was under way is.
    assert 0 < there < total
    assert sent <= before + total - there + 16 * MIB  # and what was in the buffers between


_PARTS_THERE = """async () => {
  const [record] = await desk.store.load();
  const parts = Object.keys(record?.etags ?? {});
  return parts.length ? parts : null;
}"""


def test_the_network_is_cut_and_nothing_is_lost(
    stack: Stack, browser: Browser, proxy: CountingProxy, tmp_path: Path
) -> None:
    study = new_study()
    write(tmp_path / "exam", study)
    proxy.rate = RATE
    with profile(browser, proxy) as context:
        tab = UploadPage(context, stack)
        tab.choose(tmp_path / "exam")
        tab.start()
        tab.until_sent(FILES // 2, SECONDS)
        with proxy.cut():
            time.sleep(SILENCE)
            assert tab.progress["state"] == "running"
            assert tab.progress["retrying"] > 0
        report = tab.until_done(SECONDS)
    assert proxy.refused > 0
    assert report["counts"] == {"stored": FILES}
    assert in_pacs(stack, study) == FILES


def test_files_that_change_expire_or_outlive_the_session_are_each_told(
    stack: Stack, browser: Browser, proxy: CountingProxy, tmp_path: Path
) -> None:
    study = new_study()
    exam = tmp_path / "exam"
    write(exam, study, 8, 1000)
    with profile(browser, proxy) as context:
        tab = UploadPage(context, stack)
        tab.choose(exam)
        (exam / "IM0001").write_bytes(dicom(1, study=study, pixels=1000))
        (exam / "IM0002").unlink()
        expired = expired_forms(stack, 6)
        tab.page.evaluate(f"(forms) => {{ desk.answer = {_WITH_FORMS}; }}", expired)
        tab.start("not-the-key")
        assert tab.until_paused() == "signed-out"
        assert bytes_to_bucket(stack, proxy) == 0
        tab.page.evaluate(f"desk.key = {stack.service_key!r}; desk.upload.resume()")
        report = tab.until_done()
        assert [file["state"] for file in report["files"]] == ["changed"] * 2 + ["stored"] * 6
    assert in_pacs(stack, study) == 6
    # Refused as expired, sent again with forms of another upload.
    assert proxy.methods["POST", stack.staging_bucket] >= 6 + 4


def expired_forms(stack: Stack, count: int) -> list[dict[str, Any]]:
    """Forms whose time is over."""
    made = [
        stack.client("s3").generate_presigned_post(stack.staging_bucket, f"uploads/expired/{n}", ExpiresIn=1)
        for n in range(count)
    ]
    time.sleep(2)
    return [{"url": form["url"], "fields": form["fields"]} for form in made]


def test_a_file_that_changes_after_it_was_hashed_is_not_stored(
    stack: Stack, browser: Browser, proxy: CountingProxy, tmp_path: Path
) -> None:
    study = new_study()
    exam = tmp_path / "exam"
    write(exam, study, 2, 200_000)
    with profile(browser, proxy) as context:
        tab = UploadPage(context, stack)
        tab.choose(exam)
        when = (exam / "IM0001").stat()
        # Sending stops after the files were announced; meanwhile one changes behind its header, with the same date.
        tab.page.evaluate("() => { desk.answer = (json) => { desk.upload.pause(); return json; }; }")
        tab.start()
        tab.until_paused()
        content = (exam / "IM0001").read_bytes()
        (exam / "IM0001").write_bytes(content[:-1000] + bytes(1000))
        os.utime(exam / "IM0001", ns=(when.st_atime_ns, when.st_mtime_ns))
        tab.page.evaluate("desk.upload.resume()")
        report = tab.until_done()
        # The emulator leaves the digest of a form to the service; S3 refuses the form, and the file is `changed`.
        assert [file["state"] for file in report["files"]] == ["rejected", "stored"]
        assert report["files"][0]["reason"] == "CHECKSUM_MISMATCH"
    assert in_pacs(stack, study) == 1
