"""`make demo`: the sample exam, opened by the link that it prints.

``README_PICTURE=1 pytest tests/e2e/pages/test_demo.py`` puts the picture of README.md into docs/images.
"""

import datetime
import os
import shutil

import pytest
from playwright.sync_api import Browser, expect

from scripts.demo import OTHERS, PLANNED, SAMPLES, fill, share
from tests.support.browser import ARTIFACTS, SIZES, tab
from tests.support.stack import Stack

IN_README = ARTIFACTS.parents[1] / "docs" / "images" / "share.png"


def test_the_exams_and_the_worklist_of_today_are_made_once(stack: Stack) -> None:
    day = datetime.date.today()
    for _ in range(2):
        fill(stack.api_url, stack.service_key, day)
    today = {"from": f"{day:%Y%m%d}", "to": f"{day:%Y%m%d}", "format": "simple"}
    found = stack.request("GET", "/workitems", params=today).json()
    assert sum(item["PatientID"].startswith("DEMO-0") for item in found) == len(PLANNED)
    for number in range(1, len(OTHERS) + 1):
        rows = stack.request("GET", f"/exams/studies?patientID=DEMO-0{number}&format=simple").json()
        assert [row["NumberOfStudyRelatedInstances"] for row in rows] == [1]


@pytest.mark.parametrize("size", SIZES)
def test_the_sample_exam_is_there_and_its_link_opens_once(stack: Stack, browser: Browser, size: str) -> None:
    link = share(stack.api_url, stack.service_key, "diagnostic")
    with tab(browser, link, size) as at:
        at.page.get_by_role("button", name="Open", exact=True).click()
        at.choose("Heart, moving")
        at.shown(15)  # in the middle of its thirty frames
        series = at.page.locator(".series")
        expect(series).to_have_count(len(SAMPLES) - 1)
        # A picture of the strip is asked for when it comes into view, which on a telephone is not all of them at once.
        for number in range(len(SAMPLES) - 1):
            series.nth(number).scroll_into_view_if_needed()
            at.page.evaluate("new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(shown)))")
        at.until("document.querySelectorAll('.thumb canvas').length === 4")
        at.page.locator(".report .tree").wait_for()
        at.choose("X-ray")
        at.shown(1)
        at.picture(f"demo-{size}")
        if os.environ.get("README_PICTURE") and size == "desktop":
            shutil.copy(ARTIFACTS / f"demo-{size}.png", IN_README)
    with tab(browser, link, size) as at:
        at.page.get_by_role("button", name="Open", exact=True).click()
        at.page.get_by_role("heading", name="This could not be opened").wait_for()
