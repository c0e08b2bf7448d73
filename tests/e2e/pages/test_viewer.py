"""OHIF behind the share page: opens the exam with the page's token, scrolls, measures, and finds no other exam."""

import re

from playwright.sync_api import Browser, ConsoleMessage, Page, Route

from tests.support.browser import Tab, tab
from tests.support.page_exams import Exam
from tests.support.stack import Stack
from tests.support.waiting import wait_for


def open_viewer(at: Tab) -> None:
    """Open the exam, then OHIF, and wait for its first picture."""
    at.page.locator("button.primary").click()
    at.shown(7)
    at.page.get_by_role("link", name="Open in the diagnostic viewer").click()
    position(at.page, 1)


def position(page: Page, number: int) -> None:
    """Wait until OHIF says that it shows this picture of twelve."""
    page.get_by_text(re.compile(rf"\({number}/12\)")).first.wait_for()


def test_a_colleague_reads_the_exam_in_ohif(browser: Browser, small_exam: Exam) -> None:
    with tab(browser, small_exam.link(role="diagnostic")) as at:
        open_viewer(at)
        token = at.page.evaluate("JSON.parse(sessionStorage['share.session']).accessToken")
        viewport = at.page.locator(".cornerstone-canvas").first
        box = viewport.bounding_box()
        assert box
        at.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        at.page.mouse.wheel(0, 100)
        position(at.page, 2)
        at.page.locator("[data-cy='MeasurementTools-split-button-primary']").click()
        for share in (0.4, 0.6):
            at.page.mouse.click(box["x"] + box["width"] * share, box["y"] + box["height"] / 2)
        at.page.locator(".svg-layer").get_by_text(re.compile(r"mm|px")).first.wait_for()
        at.picture("viewer-desktop")
        assert token not in at.page.url
        assert [url for url in at.asked if token in url] == []
        kept = at.remembered()
        assert [name for name, value in kept["local"].items() if small_exam.study_uid in value or token in value] == []


def test_an_address_never_has_the_token_whatever_becomes_of_ohif(
    stack: Stack, browser: Browser, small_exam: Exam
) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    def refuses(message: ConsoleMessage) -> bool:
        return "refusing to load customization" in message.text

    with tab(browser, small_exam.link(role="diagnostic")) as at:
        page = at.page
        page.locator("button.primary").click()
        at.shown(7)
        token = page.evaluate("JSON.parse(sessionStorage['share.session']).accessToken")
        # GIVEN a viewer that is opened again before OHIF has come
        page.route("**/app.bundle.*.js", hold)
        with page.expect_request("**/app.bundle.*.js"):
            page.get_by_role("link", name="Open in the diagnostic viewer").click()
        wait_for(lambda: page.title() and held)
        addresses = [page.url]
        page.reload(wait_until="commit")
        wait_for(lambda: page.title() and len(held) > 1)
        page.unroute_all(behavior="ignoreErrors")
        # AND one in which OHIF refuses to start
        with page.expect_console_message(refuses):
            page.goto(f"{stack.api_url}/viewer/viewer?StudyInstanceUIDs={small_exam.study_uid}&customization=x")
        addresses.append(page.url)
        with page.expect_console_message(refuses):
            page.reload()
        # THEN
        assert len([url for url in at.asked if "/viewer/viewer" in url]) == 4
        assert [url for url in addresses + at.asked if token in url] == []


def test_ohif_opens_the_shared_exam_whatever_the_address_says(
    stack: Stack, browser: Browser, small_exam: Exam, large_exam: Exam
) -> None:
    with tab(browser, small_exam.link(role="diagnostic")) as at:
        open_viewer(at)
        at.page.goto(f"{stack.api_url}/viewer/viewer?StudyInstanceUIDs={large_exam.study_uid}")
        position(at.page, 1)
        assert [url for url in at.asked if large_exam.study_uid in url and "/dicomweb/" in url] == []
        assert large_exam.patient_id not in at.page.locator("body").inner_text()


def test_without_a_session_the_viewer_leads_to_the_share_page(stack: Stack, browser: Browser) -> None:
    for path in ("viewer", "viewer/", "viewer/viewer"):
        with tab(browser, f"{stack.api_url}/{path}") as at:
            at.page.get_by_label("Code").wait_for()
            assert at.page.url == f"{stack.api_url}/share"


def test_a_patient_is_offered_no_diagnostic_viewer(browser: Browser, small_exam: Exam) -> None:
    with tab(browser, small_exam.link()) as at:
        at.page.locator("button.primary").click()
        at.shown(7)
        at.page.get_by_role("button", name="Sign out").wait_for()
        assert at.page.get_by_role("link", name="Open in the diagnostic viewer").count() == 0
