"""The link: what opens it, what does not, and what is left of it; each refusal looks the same."""

import inspect
import os
import re
from typing import cast
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Browser, Page, Route, expect
from playwright.sync_api import TimeoutError as TooLate

from dicom_service import aws
from tests.support.another_path import another_path
from tests.support.browser import NOTHING, Tab, axe_violations, tab
from tests.support.deployed import variables
from tests.support.holes import Hole, Holed
from tests.support.page_exams import BIRTH_DATE, Exam
from tests.support.stack import Stack
from tests.support.waiting import wait_for

SOAK = bool(os.environ.get("SOAK"))
MIDDLE = 7
# One transparent pixel.
LOGO = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


def press_open(page: Page) -> None:
    page.get_by_role("button", name="Open", exact=True).click()


def opened(at: Tab) -> None:
    press_open(at.page)
    at.shown(MIDDLE)


def refused(page: Page) -> str:
    page.wait_for_selector(".message h2")
    return page.locator(".message").inner_text()


def issuers_view(stack: Stack, otp_id: str) -> dict[str, object]:
    found: dict[str, object] = stack.request("GET", f"/otps/{otp_id}").json()
    return found


def test_nothing_is_redeemed_before_the_press(stack: Stack, browser: Browser, small_exam: Exam) -> None:
    issued = small_exam.issue()
    preview = requests.get(issued["link"], headers={"User-Agent": "WhatsApp/2.23 A"}, timeout=60)
    assert (preview.status_code, "og:title" in preview.text) == (200, True)
    assert small_exam.patient_id not in preview.text
    with tab(browser, issued["link"]) as at:
        at.page.get_by_role("button", name="Open", exact=True).wait_for()
        assert "#" not in at.page.url
        before = issuers_view(stack, issued["otpId"])
        assert (before["uses"], before["attempts"], before["state"]) == (0, 0, "ACTIVE")
        assert axe_violations(at.page) == []
        opened(at)
        assert [url for url in at.asked if issued["otp"] in url] == []
    assert issuers_view(stack, issued["otpId"])["state"] == "USED"


def test_a_reload_in_the_middle_opens_it_again_and_uses_nothing_up(
    stack: Stack, browser: Browser, small_exam: Exam
) -> None:
    issued = small_exam.issue()
    with tab(browser, issued["link"]) as at:
        at.page.reload()  # before the press: the code is not in the address any more
        opened(at)
        at.page.reload()
        at.shown(MIDDLE)
    assert issuers_view(stack, issued["otpId"])["uses"] == 1


def test_an_answer_that_is_lost_burns_nothing(stack: Stack, browser: Browser, small_exam: Exam) -> None:
    issued = small_exam.issue()
    lost: list[int] = []
    with tab(browser, issued["link"]) as at:

        def lose_once(route: Route) -> None:
            if lost:
                route.continue_()
                return
            lost.append(route.fetch().status)
            route.abort()

        at.page.route("**/otps/redeem", lose_once)
        opened(at)
    assert lost == [200]
    assert issuers_view(stack, issued["otpId"])["uses"] == 1


def test_a_reload_after_an_answer_that_was_lost_burns_nothing(stack: Stack, browser: Browser, small_exam: Exam) -> None:
    issued = small_exam.issue()
    lost: list[int] = []

    def lose(route: Route) -> None:
        if not lost:
            lost.append(route.fetch().status)
        route.abort()

    with tab(browser, issued["link"]) as at:
        at.page.route("**/otps/redeem", lose)
        press_open(at.page)
        wait_for(lambda: at.page.title() and lost)
        at.page.reload()
        at.page.unroute("**/otps/redeem")
        opened(at)
    assert lost == [200]
    assert issuers_view(stack, issued["otpId"])["uses"] == 1


def test_the_same_link_again_is_refused_and_says_what_to_do(browser: Browser, small_exam: Exam) -> None:
    link = small_exam.link()
    with tab(browser, link) as first, tab(browser, link, "phone") as second:
        opened(first)
        press_open(second.page)
        assert "Ask whoever sent it for a new one" in refused(second.page)
        assert axe_violations(second.page) == []
        second.picture("refused-phone")
        # and the first goes on
        first.page.keyboard.press("Tab")
        first.page.locator(".stage").press("End")
        first.shown(12)


def test_the_link_opened_last_is_shown_when_another_is_just_being_redeemed(
    stack: Stack, browser: Browser, small_exam: Exam
) -> None:
    first, second = small_exam.issue(), small_exam.issue()
    held: list[Route] = []
    with tab(browser, first["link"]) as at:
        page = at.page
        page.route("**/otps/redeem", lambda route: held.append(route), times=1)
        # GIVEN a link that was pressed, whose answer does not come
        with page.expect_request("**/otps/redeem"):
            press_open(page)
        # WHEN another link is opened in the same tab, and then it comes
        page.evaluate("(hash) => (location.hash = hash)", urlsplit(second["link"]).fragment)
        expect(page.locator("button.primary")).to_be_enabled()
        (late,) = held
        with page.expect_event("requestfinished", lambda request: request == late.request):
            late.continue_()
        # THEN it is the other that opens
        press_open(page)
        at.shown(7)
    assert stack.request("GET", f"/otps/{second['otpId']}").json()["uses"] == 1


def test_two_tabs_of_one_browser_do_not_share_the_exam(browser: Browser, small_exam: Exam) -> None:
    link = small_exam.link()
    with tab(browser, link) as first:
        opened(first)
        other = first.page.context.new_page()
        other.goto(link)
        press_open(other)
        assert refused(other)


def test_the_birth_date_is_asked_for_and_five_wrong_ones_lock_it(
    stack: Stack, browser: Browser, small_exam: Exam
) -> None:
    issued = small_exam.issue(requireBirthDate=True, expiresIn=3600)
    with tab(browser, issued["link"]) as at:
        texts = []
        for attempt in range(1, 6):
            at.page.get_by_label("Date of birth").fill(f"1970-01-0{attempt}")
            with at.page.expect_response("**/otps/redeem") as answer:
                press_open(at.page)
            assert answer.value.status == 401
            texts.append(refused(at.page))
        assert len(set(texts)) == 1
        assert issuers_view(stack, issued["otpId"])["state"] == "LOCKED"
        at.page.get_by_label("Date of birth").fill(BIRTH_DATE)
        press_open(at.page)
        assert refused(at.page) == texts[0]


def test_the_right_birth_date_opens_it(browser: Browser, small_exam: Exam) -> None:
    with tab(browser, small_exam.link(requireBirthDate=True)) as at:
        at.page.get_by_label("Date of birth").fill(BIRTH_DATE)
        opened(at)


def test_a_code_that_was_told_by_telephone_opens_it(stack: Stack, browser: Browser, small_exam: Exam) -> None:
    issued = small_exam.issue()
    with tab(browser, f"{stack.api_url}/share") as at:
        at.page.get_by_label("Code").fill(f" {issued['token']} ")
        assert axe_violations(at.page) == []
        opened(at)


def test_an_expired_link_is_refused_like_any_other_and_says_whom_to_ask(
    stack: Stack, browser: Browser, small_exam: Exam
) -> None:
    issued = small_exam.issue()
    stack.client("dynamodb").update_item(
        TableName=stack.outputs["OtpsTable"],
        Key=aws.to_item({"otpId": issued["otpId"]}),
        UpdateExpression="SET expiresAt = :past",
        ExpressionAttributeValues=aws.to_item({":past": 1_700_000_000}),
    )
    operator = {"SERVICE_NAME": "Clinic “A & B”", "SUPPORT_CONTACT": "+39 0471 000000", "SERVICE_LOGO_URL": LOGO}
    with variables(stack, "GetPageFunction", **operator), tab(browser, issued["link"]) as at:
        assert at.page.title() == "Clinic “A & B”"
        at.until("document.querySelector('img.logo')?.naturalWidth === 1")
        at.page.get_by_text("Clinic “A & B” shares a medical exam with you.").wait_for()
        press_open(at.page)
        assert "is not accepted" in refused(at.page)
        assert "Questions: +39 0471 000000" in refused(at.page)


def test_what_is_revoked_while_it_is_open_closes(stack: Stack, browser: Browser, small_exam: Exam) -> None:
    issued = small_exam.issue()
    with tab(browser, issued["link"]) as at:
        opened(at)
        assert stack.request("DELETE", f"/otps/{issued['otpId']}").status_code == 204
        at.page.get_by_label("Brightness for").select_option("bone")
        at.page.get_by_role("heading", name="The exam is no longer open").wait_for()
        assert at.page.locator("canvas").count() == 0
        assert at.remembered() == NOTHING
        assert axe_violations(at.page) == []


def test_it_works_at_another_origin_below_another_path(stack: Stack, browser: Browser, small_exam: Exam) -> None:
    """As at a custom domain with a base path, or behind the proxy that `PublicUrl` names: no request goes past it."""
    link = small_exam.link(role="diagnostic")
    with another_path(stack.api_url) as url, tab(browser, link.replace(stack.api_url, url)) as at:
        opened(at)
        assert at.page.url == f"{url}/share"
        at.page.get_by_role("link", name="Open in the diagnostic viewer").click()
        at.page.get_by_text(re.compile(r"\(1/12\)")).first.wait_for()
        at.page.goto(f"{url}/viewer")
        at.page.get_by_text(re.compile(r"\(1/12\)")).first.wait_for()
        assert len({urlsplit(asked).path for asked in at.asked if f"{url}/dicomweb/" in asked}) >= 4


HOLES = {
    "the code is used up before the press": Hole(
        "app.js",
        "else showLanding();",
        "else { if (sessions.pending()) await api.redeem(sessions.pending()); showLanding(); }",
        test_nothing_is_redeemed_before_the_press,
    ),
    "all recipients send one key": Hole(
        "session.js",
        "crypto.randomUUID()",
        '"0e6a1c5e-97b4-4f2d-8a3b-5d1c7e9f2b48"',
        test_the_same_link_again_is_refused_and_says_what_to_do,
    ),
    "each press sends another key": Hole(
        "api.js",
        '"Idempotency-Key": pending.key',
        '"Idempotency-Key": crypto.randomUUID()',
        test_a_reload_after_an_answer_that_was_lost_burns_nothing,
    ),
    "a lost answer is not asked for again": Hole(
        "api.js", "const WAITS = [600, 1500, 4000];", "const WAITS = [];", test_an_answer_that_is_lost_burns_nothing
    ),
    "the session is kept when it ends": Hole(
        "session.js", "sessionStorage.clear();", "", test_what_is_revoked_while_it_is_open_closes
    ),
    "something is kept for good": Hole(
        "session.js",
        "sessionStorage.clear();",
        'sessionStorage.clear(); localStorage.setItem("left", "behind");',
        test_what_is_revoked_while_it_is_open_closes,
    ),
    "the policy is broken": Hole(
        "app.js",
        "sessions.takeFragment();\nawait",
        'try { eval("1") } catch {}\nsessions.takeFragment();\nawait',
        test_the_right_birth_date_opens_it,
    ),
}


@pytest.mark.skipif(not SOAK, reason="part of make soak")
@pytest.mark.parametrize("name", HOLES)
def test_the_hole_is_found(
    stack: Stack, browser: Browser, small_exam: Exam, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hole = HOLES[name]
    holed = Holed(browser, hole)
    given = {"stack": stack, "browser": cast("Browser", holed), "small_exam": small_exam}
    wanted = {each: given[each] for each in inspect.signature(hole.test).parameters}
    hole.test(**wanted | {"browser": browser})  # without the hole it passes, on warm functions
    monkeypatch.setattr("tests.support.browser.PATIENCE", 20_000)
    with pytest.raises((AssertionError, TooLate)):
        hole.test(**wanted)
    assert holed.served
