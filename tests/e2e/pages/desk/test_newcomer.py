"""Without a terminal: a folder is dropped, arrives, is opened, is shared by QR, and is seen to be opened."""

import io
import re
from pathlib import Path

import zxingcpp
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import tab
from tests.support.desk import accessible, bring, desk, folder_of, view
from tests.support.stack import Stack

# What OHIF keeps of the browser, never of an exam.
VIEWERS_OWN = {"loglevel", "i18nextLng", "cornerstone3D.renderingCapabilities"}


def qr_of(page: Page) -> str:
    """What a telephone reads on the screen."""
    picture = page.get_by_role("img", name="QR code of the link").screenshot()
    (found,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture)))
    return str(found.text)


def test_a_newcomer_brings_an_exam_in_and_shares_it(stack: Stack, browser: Browser, tmp_path: Path) -> None:
    name = "Ferrari^Giulia"
    study = folder_of(tmp_path, name)[name]
    with desk(browser, stack) as at:
        page = at.page
        # GIVEN a CD, of which the images alone are sent, at once: it is one patient's
        accessible(at, "desk-bring-in")
        bring(page, tmp_path)
        page.get_by_role("heading", name="Everything has arrived").wait_for()
        page.get_by_text("3 of 3 files").wait_for()
        row = page.locator(f'.exam-row[data-study="{study}"]')
        row.wait_for()
        page.locator("summary", has_text="Files").first.click()
        expect(page.locator('.file[data-state="stored"]')).to_have_count(3)
        page.get_by_text("3 files stay here").wait_for()
        at.until("document.querySelector('.thumb img')")
        accessible(at, "desk-arrived")
        # WHEN it is opened in the viewer, in a tab of its own
        with page.context.expect_page() as opened:
            row.get_by_role("link", name="Open").click()
        viewer = opened.value
        viewer.get_by_text(re.compile(r"\(1/3\)")).first.wait_for()
        assert stack.service_key not in viewer.url
        # AND shared: with whoever reads the QR code with a telephone
        row.get_by_role("link", name="Share").click()
        page.get_by_label("Note for you").fill("Dr. Conti")
        page.get_by_role("button", name="Make the link").click()
        page.get_by_role("heading", name="Give this to the recipient now").wait_for()
        link = qr_of(page)
        assert link == page.get_by_label("Link", exact=True).input_value()
        expect(page.locator(".spelled")).to_have_text(link.partition("#")[2])
        accessible(at, "desk-share")
        with tab(browser, link, "phone") as patient:
            patient.page.get_by_role("button", name="Open", exact=True).click()
            patient.shown(2)
        # THEN the desk says so by itself
        code = page.locator(".code", has_text="Dr. Conti")
        code.get_by_text(re.compile("^Opened ")).wait_for()
        expect(code).to_have_attribute("data-state", "USED")
        at.picture("desk-opened")
        # AND the access that it gave can be revoked
        code.get_by_role("button", name="Revoke").click()
        page.locator('.code[data-state="REVOKED"]').wait_for()
        # AND who saw the exam is told
        view(page, "Exams")
        page.get_by_label("Name").fill("ferrari giu")
        # Rows from before the search go when it has been answered.
        with page.expect_response("**/exams/studies?*patientName=*"):
            page.keyboard.press("Enter")
        page.get_by_role("status").get_by_text("1 to ").wait_for()
        row.get_by_role("button", name="Who saw it").click()
        row.get_by_role("cell", name="Opened a link").wait_for()
        row.get_by_role("cell", name="Arrived in the PACS").wait_for()
        # also in the words for what a newer service records
        access = {"at": "2026-01-31T10:00:00Z", "who": "key:ris", "action": "printed", "count": 1}
        page.route("**/accesses?*", lambda route: route.fulfill(status=200, json=[access]))
        row.get_by_role("button", name="Who saw it").click()
        row.get_by_role("cell", name="Had access", exact=True).wait_for()
        accessible(at, "desk-exams")
        kept = at.remembered()
        assert (set(kept["local"]) - VIEWERS_OWN, kept["caches"]) == (set(), [])
        signed_out_everywhere(page, viewer)
        assert at.remembered()["session"] == {}
        accessible(at, "desk-sign-in")


def signed_out_everywhere(page: Page, viewer: Page) -> None:
    """Sign out of the desk; nobody is signed in in the viewer, in another window, or in a copy of the session."""
    address, copy = viewer.url, page.evaluate("sessionStorage['desk.session']")
    with page.context.expect_page() as opened:
        page.evaluate("open('desk#live')")
    window = opened.value
    window.get_by_role("button", name="Sign out").wait_for()
    page.get_by_role("button", name="Sign out").click()
    for each in (page, window, viewer):
        each.get_by_role("heading", name="Sign in").wait_for()
        assert each.evaluate("({...sessionStorage})") == {}
    # A browser gives a tab that was closed its copy again.
    for path in (address, page.url):
        viewer.evaluate("copy => sessionStorage.setItem('desk.session', copy)", copy)
        viewer.goto(path)
        viewer.get_by_role("heading", name="Sign in").wait_for()
    assert viewer.url == page.url


def test_a_folder_of_two_patients_is_asked_about_first(stack: Stack, browser: Browser, tmp_path: Path) -> None:
    studies = folder_of(tmp_path, "Adler^Max", "Blum^Eva")
    with desk(browser, stack) as at:
        page = at.page
        bring(page, tmp_path)
        page.get_by_role("heading", name="This belongs to more than one patient").wait_for()
        assert [url for url in at.asked if "/uploads" in url] == []
        accessible(at, "desk-two-patients")
        page.get_by_role("button", name="Send the chosen exams").click()
        page.get_by_text("Choose at least one exam.").wait_for()
        page.get_by_role("group", name="Eva Blum").get_by_role("checkbox").check()
        page.get_by_role("button", name="Send the chosen exams").click()
        page.get_by_role("heading", name="Everything has arrived").wait_for()
        page.locator(f'.exam-row[data-study="{studies["Blum^Eva"]}"]').wait_for()
    found = {name: stack.request("GET", f"/exams/studies/{uid}").status_code for name, uid in studies.items()}
    assert found == {"Adler^Max": 404, "Blum^Eva": 200}
