"""What the share page asks for: few pictures at once, and none that nobody sees."""

from playwright.sync_api import Browser, Route

from tests.support.audit_stack import audited
from tests.support.browser import tab
from tests.support.page_exams import Exam, ct
from tests.support.stack import Stack
from tests.support.waiting import wait_for

SERIES, AT_ONCE, LEAFED, LOOKED_AT = 14, 6, 60, 20
# Of records: routes and outcomes; each may be two where a quarter of an hour ends in between.
KINDS = 8


def test_whoever_leafs_fast_asks_for_few_pictures_at_once_and_sees_the_last(browser: Browser, large_exam: Exam) -> None:
    held: list[Route] = []
    is_slow = True

    def hold(route: Route) -> None:
        if is_slow:
            held.append(route)
        else:
            route.continue_()

    with tab(browser, large_exam.link()) as at:
        at.page.locator("button.primary").click()
        at.shown(151)
        at.page.route("**/instances/*?*size=512*", hold)
        stage = at.page.locator(".stage")
        stage.press("Home")
        for _ in range(LEAFED):
            stage.press("ArrowDown")
        assert at.page.locator(".position").inner_text() == f"{LEAFED + 1} / 300"
        assert stage.get_attribute("data-shown") == "151"
        wait_for(lambda: at.page.title() and len(held) >= AT_ONCE)
        at.page.locator(".stage.busy").wait_for()  # what is on the stage does not pass for another
        # On a slow machine the page may have given up the first of them, after 35 s, and asked for another.
        assert len([route for route in held if not route.request.failure]) <= AT_ONCE
        is_slow = False
        for route in held:
            route.continue_()
        at.shown(LEAFED + 1)


def test_the_strip_asks_for_pictures_of_series_that_come_into_view(stack: Stack, browser: Browser) -> None:
    exam = Exam(stack)
    for number in range(SERIES):
        exam.add("CT", f"Series {number}", ct(1, 32))
    with tab(browser, exam.link(), "phone") as at:
        at.page.locator("button.primary").tap()
        at.shown(1)
        at.page.locator(".thumb canvas").first.wait_for()

        def asked() -> list[str]:
            return [url for url in at.asked if url.endswith("/thumbnail?size=128")]

        assert 0 < len(asked()) < SERIES
        last = at.page.locator(".strip button").last
        last.scroll_into_view_if_needed()
        last.locator("canvas").wait_for()
        assert len(set(asked())) == len(asked())


def test_a_single_series_needs_no_picture_in_a_strip(browser: Browser, small_exam: Exam) -> None:
    with tab(browser, small_exam.link()) as at:
        at.page.locator("button.primary").click()
        at.shown(7)
        assert [url for url in at.asked if "/thumbnail?" in url and "size=512" in url]
        assert [url for url in at.asked if "size=128" in url] == []


def test_each_answer_to_a_page_is_counted_in_few_records(stack: Stack, browser: Browser, large_exam: Exam) -> None:
    issued = large_exam.issue()
    answered: list[str] = []
    with tab(browser, issued["link"]) as at:
        at.page.on("response", lambda answer: answered.append(answer.url))
        at.page.locator("button.primary").click()
        at.shown(151)
        stage = at.page.locator(".stage")
        stage.press("Home")
        at.shown(1)
        for number in range(2, LOOKED_AT + 2):
            stage.press("ArrowDown")
            at.shown(number)
    seen = [url for url in answered if large_exam.study_uid in url or url.endswith("/otps/redeem")]
    rows = audited(stack, who=f"otp:{issued['reference']}", limit="500")
    changes = [row for row in rows if row["action"] == "redeem"]
    requests = sum(row["count"] for row in rows)
    print(
        f"an exam opened and {LOOKED_AT} of 300 slices leafed through: {requests} requests, "
        f"{len(rows)} items of the audit, {requests + len(changes)} updates of them"
    )
    # A request that the page gave up may be recorded too.
    assert requests >= len(seen) > LOOKED_AT
    assert (len(changes), {row["outcome"] for row in rows}) == (1, {0})
    assert len(rows) <= 2 * KINDS
