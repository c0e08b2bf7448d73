"""Codes of an exam: shown as they are now, whatever answer comes last, and never taken from under the hand; its ZIP."""

import zipfile

from playwright.sync_api import APIResponse, Browser, Route, expect

from tests.support.desk import desk, view
from tests.support.page_exams import Exam
from tests.support.stack import Stack
from tests.support.waiting import wait_for


def test_the_codes_asked_for_last_are_shown_and_those_from_before_stay(
    stack: Stack, browser: Browser, small_exam: Exam
) -> None:
    mine = small_exam.issue(user="Held")["otpId"]
    held: list[tuple[Route, APIResponse]] = []

    def hold_the_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append((route, route.fetch()))

    with desk(browser, stack) as at:
        page = at.page
        page.route("**/otps?studyUID=*", hold_the_first)
        page.goto(f"{stack.api_url}/desk#share/{small_exam.study_uid}")
        # GIVEN an answer that is on its way
        wait_for(lambda: page.title() and held)
        # WHEN a link is made meanwhile, and its answer is there first
        page.get_by_label("Note for you").fill("Quick")
        page.get_by_role("button", name="Make the link").click()
        page.locator(".code", has_text="Quick").wait_for()
        before = page.locator(".code", has_text="Held").first
        before.evaluate("(row) => { row.mark = 'the same'; }")
        # THEN the late answer changes nothing
        route, answer = held[0]
        with page.expect_event("requestfinished", lambda request: request == route.request):
            route.fulfill(response=answer)
        page.evaluate("new Promise((done) => setTimeout(done, 200))")
        assert page.locator(".code", has_text="Quick").count() == 1
        # AND another link leaves the rows alone that say what they said
        page.get_by_label("Note for you").fill("Another")
        page.get_by_role("button", name="Make the link").click()
        page.locator(".code", has_text="Another").wait_for()
        assert before.evaluate("(row) => row.mark") == "the same"
        # AND what has changed is shown so
        assert stack.request("DELETE", f"/otps/{mine}").status_code == 204
        expect(page.locator('.code[data-state="REVOKED"]', has_text="Held")).to_have_count(1)


def test_an_exam_is_downloaded_as_a_zip_and_one_that_failed_is_said_to_have(
    stack: Stack, browser: Browser, small_exam: Exam
) -> None:
    with desk(browser, stack) as at:
        page = at.page
        view(page, "Exams")
        page.get_by_label("Patient ID").fill(small_exam.patient_id)
        page.keyboard.press("Enter")
        row = page.locator(f'.exam-row[data-study="{small_exam.study_uid}"]')
        with page.expect_download() as taken:
            row.get_by_role("button", name="Download ZIP").click()
        with zipfile.ZipFile(taken.value.path()) as archive:
            assert archive.testzip() is None
            names = archive.namelist()
        assert "DICOMDIR" in names
        assert len([name for name in names if name.startswith("DICOM/")]) == 12
        row.get_by_text("The download is starting.").wait_for()

        failed = {"state": "failed", "requestedAt": "2031-02-03T04:05:06Z", "done": 0, "reason": "ARCHIVE_STALLED"}
        page.route("**/archive?redirect=false", lambda route: route.fulfill(json=failed))
        row.get_by_role("button", name="Download ZIP").click()
        row.get_by_text("It could not be prepared.").wait_for()
