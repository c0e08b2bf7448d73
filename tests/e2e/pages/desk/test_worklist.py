"""The worklist of a day, done by itself when the exam comes, which Live shows by itself; and lists of any length."""

from pathlib import Path

from playwright.sync_api import Browser, Page, expect
from pydicom.uid import generate_uid

from tests.support.desk import accessible, desk, folder_of, long_lists, view
from tests.support.stack import Stack
from tests.support.waiting import wait_for
from tests.support.worklist import new_workitem


def plan(page: Page, name: str, accession: str, time: str) -> None:
    page.get_by_text("Plan an exam").click()
    fields = {"Name (family, given)": name, "Patient ID": f"P-{accession}", "Accession number": accession}
    fields |= {"Modality": "ct", "Station (AE title)": "DESK1", "Procedure": "Head", "Time": time}
    for label, value in fields.items():
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_role("button", name="Plan", exact=True).click()
    page.locator(".item", has_text=accession).wait_for()


def test_an_exam_is_planned_rescheduled_and_done_when_it_comes(stack: Stack, browser: Browser, tmp_path: Path) -> None:
    accession, another = f"W{generate_uid()[-9:]}", f"N{generate_uid()[-9:]}"
    with desk(browser, stack) as at:
        page = at.page
        view(page, "Worklist")
        plan(page, "Bauer, Lea", accession, "09:30")
        item = page.locator(".item", has_text=accession)
        expect(item).to_have_attribute("data-state", "SCHEDULED")
        expect(item.locator("strong")).to_have_text("09:30")
        item.get_by_role("button", name="Reschedule").click()
        item.get_by_label("Time").fill("10:45")
        accessible(at, "desk-worklist")
        item.get_by_role("button", name="Save").click()
        item.get_by_text("10:45").wait_for()
        plan(page, "Nowak, Jan", another, "11:00")
        other = page.locator(".item", has_text=another)
        other.get_by_role("button", name="Cancel").click()
        other.get_by_role("button", name="Yes, cancel it").click()
        page.locator('.item[data-state="CANCELED"]', has_text=another).wait_for()
        # WHEN its exam comes, whichever way
        study = item.get_attribute("data-study")
        values = {"StudyInstanceUID": study, "AccessionNumber": accession, "PatientID": f"P-{accession}"}
        folder_of(tmp_path, "Bauer^Lea", slices=1, **values)
        content = (tmp_path / "DICOM" / "Bauer" / "IM1").read_bytes()
        assert stack.request("POST", "/exams", files={"file": content}).status_code == 200
        # THEN it is done, and Live has shown it, too
        page.locator('.item[data-state="COMPLETED"]', has_text=accession).wait_for()
        view(page, "Live")
        page.locator(f'.exam-row[data-study="{study}"]').wait_for()
        accessible(at, "desk-live")


def test_the_day_asked_for_last_is_shown_when_its_answer_comes_first(stack: Stack, browser: Browser) -> None:
    slow, quick = "2031-03-04", "2031-03-05"
    planned = new_workitem(ScheduledProcedureStepStartDate=quick)
    assert stack.request("POST", "/workitems", json=planned).status_code == 200
    with desk(browser, stack) as at:
        page = at.page
        day = page.locator("#worklist-day")
        page.route(f"**/workitems?from={slow}&*", lambda route: None)
        view(page, "Worklist")
        # GIVEN a day whose answer does not come
        with page.expect_request(f"**/workitems?from={slow}&*"):
            day.fill(slow)
        # WHEN another day is asked for, THEN nobody waits for that answer any longer
        with page.expect_event("requestfailed", lambda request: f"from={slow}" in request.url):
            day.fill(quick)
        item = page.locator(".item", has_text=planned["AccessionNumber"])
        item.wait_for()
        # WHEN a day cannot be read, THEN no other's items are under it
        page.route("**/workitems?from=2031-03-07&*", lambda route: route.fulfill(status=503, body="{}"))
        day.fill("2031-03-07")
        page.locator(".said").get_by_text("not working").wait_for()
        expect(day).to_have_value("2031-03-07")
        assert page.locator(".item").count() == 0


def test_a_form_in_use_stays_when_another_exam_is_planned(stack: Stack, browser: Browser) -> None:
    day = "2031-03-06"
    first, second = (new_workitem(ScheduledProcedureStepStartDate=day) for _ in range(2))
    assert stack.request("POST", "/workitems", json=first).status_code == 200
    with desk(browser, stack) as at:
        page = at.page
        view(page, "Worklist")
        page.locator("#worklist-day").fill(day)
        item = page.locator(".item", has_text=first["AccessionNumber"])
        item.get_by_role("button", name="Reschedule").click()
        item.get_by_label("Time").fill("10:45")
        # WHEN somebody else plans an exam, which the page hears of
        newest = stack.request("GET", "/events?after=newest").json()["next"]
        assert stack.request("POST", "/workitems", json=second).status_code == 200
        wait_for(lambda: second["StudyInstanceUID"] in stack.request("GET", f"/events?after={newest}").text)
        for _ in range(2):
            with page.expect_response("**/events?*"):
                pass
        page.wait_for_timeout(1_000)
        # THEN what was typed is still there, and the other exam comes with it
        item.get_by_role("button", name="Save").click()
        item.get_by_text("10:45").wait_for()
        page.locator(".item", has_text=second["AccessionNumber"]).wait_for()


def test_what_is_unfolded_in_one_row_stays_when_another_row_changes(stack: Stack, browser: Browser) -> None:
    day = "2031-03-07"
    first, second = (new_workitem(ScheduledProcedureStepStartDate=day) for _ in range(2))
    for planned in (first, second):
        assert stack.request("POST", "/workitems", json=planned).status_code == 200
    with desk(browser, stack) as at:
        page = at.page
        view(page, "Worklist")
        page.locator("#worklist-day").fill(day)
        item, other = (page.locator(".item", has_text=planned["AccessionNumber"]) for planned in (first, second))
        other.get_by_role("button", name="Cancel").click()
        item.get_by_role("button", name="Reschedule").click()
        item.get_by_label("Time").fill("10:45")
        item.get_by_role("button", name="Save").click()
        item.get_by_text("10:45").wait_for()
        other.get_by_role("button", name="Yes, cancel it").click()
        page.locator('.item[data-state="CANCELED"]', has_text=second["AccessionNumber"]).wait_for()


def test_however_long_a_list_is_the_page_holds_one_page_of_it(stack: Stack, browser: Browser) -> None:
    """Ten thousand exams, a thousand workitems, as the API would list them."""
    with desk(browser, stack) as at:
        page = at.page
        long_lists(page)
        view(page, "Exams")
        page.get_by_text("1 to 50", exact=True).wait_for()
        for start in (51, 101):
            page.get_by_role("button", name="Next page").click()
            page.get_by_text(f"{start} to {start + 49}", exact=True).wait_for()
        expect(page.locator(".exam-row")).to_have_count(50)
        view(page, "Worklist")
        page.get_by_text("1 to 50", exact=True).wait_for()
        page.get_by_label("Station", exact=True).select_option("ST3")
        page.get_by_text("ST3", exact=True).first.wait_for()
        expect(page.locator(".item")).to_have_count(50)
        assert page.evaluate("document.querySelectorAll('*').length") < 3000
