"""Who is signed in: roles, sessions that end meanwhile, and a real issuer of OpenID Connect."""

from pathlib import Path

import requests
from playwright.sync_api import Browser, Page, Route, expect

from tests.support.authorizer import renew_authorizer
from tests.support.browser import NOTHING, axe_violations, tab
from tests.support.deployed import variables
from tests.support.desk import accessible, another_key, bring, desk, folder_of, view
from tests.support.oidc_issuer import oidc_issuer
from tests.support.stack import Stack
from tests.support.waiting import wait_for
from tests.support.worklist import new_workitem

AN_HOUR = 3600
# As a computer leaves it that slept while the session ended: no timer has run.
_ENDED_ASLEEP = """() => {
  const session = JSON.parse(sessionStorage.getItem("desk.session"));
  sessionStorage.setItem("desk.session", JSON.stringify({ ...session, endsAt: 1 }));
}"""
# By the page's own module, with the token of this moment.
_ASK_LATE = """() => {
  const app = document.querySelector("script[type=module]").src;
  const asked = import(app.replace(/app\\.js$/, "api.js")).then((api) => api.ask("workitems?late"));
  window.late = asked.then(() => 200, (error) => error.status);
}"""


def test_a_reader_sees_no_button_that_fails(stack: Stack, browser: Browser, small_exam: object) -> None:
    planned = new_workitem(ScheduledProcedureStepStartDate="2031-02-03")
    assert stack.request("POST", "/workitems", json=planned).status_code == 200
    with another_key(stack, "reader") as key, desk(browser, stack, key) as at:
        page = at.page
        answers: list[tuple[int, str]] = []
        page.on("response", lambda answer: answers.append((answer.status, answer.url)))
        expect(page.get_by_role("navigation").get_by_role("link")).to_have_text(["Exams", "Worklist", "Live"])
        page.locator(".exam-row").first.wait_for()
        row = page.locator(".exam-row").first
        expect(row.get_by_role("button")).to_have_text(["Who saw it"])
        expect(row.get_by_role("link")).to_have_text(["Open"])
        row.get_by_role("button", name="Who saw it").click()
        row.get_by_role("table").or_(row.get_by_text("Nobody so far.")).wait_for()
        # not by its address either
        before = page.locator("main").element_handle()
        page.goto(f"{stack.api_url}/desk#share/1.2.3")
        before.wait_for_element_state("hidden")
        page.get_by_role("heading", name="Exams", level=1).wait_for()
        # nor in the worklist, with an exam that others may cancel
        view(page, "Worklist")
        page.get_by_label("Day", exact=True).fill("2031-02-03")
        page.locator(".item", has_text=planned["AccessionNumber"]).wait_for()
        assert page.get_by_text("Plan an exam").count() == page.get_by_role("button", name="Cancel").count() == 0
        view(page, "Live")
        assert [each for each in answers if each[0] in (401, 403)] == []


def test_a_link_of_make_up_opens_the_desk_once(stack: Stack, browser: Browser) -> None:
    link = stack.local.desk_link()
    # What looks ahead of a person uses nothing up.
    assert requests.get(link, timeout=30).status_code == 200
    with tab(browser, link) as at:
        at.page.get_by_text("local (may change)").wait_for()
        assert at.page.url == f"{stack.api_url}/desk"
        # also where somebody has signed out before
        at.page.get_by_role("button", name="Sign out").click()
        at.page.get_by_role("heading", name="Sign in").wait_for()
        at.page.goto(stack.local.desk_link())
        at.page.get_by_text("local (may change)").wait_for()
    with tab(browser, link) as at:
        at.page.get_by_text("This link has been used before").wait_for()
        assert at.remembered() == NOTHING
        assert axe_violations(at.page) == []
        # nor does the desk know who that is, or take anybody's key from an address
        for path in ("desk", f"desk#key={stack.service_key}"):
            at.page.goto("about:blank")
            at.page.goto(f"{stack.api_url}/{path}")
            at.page.get_by_role("heading", name="Sign in").wait_for()
        assert at.remembered() == NOTHING


def test_a_session_that_ends_during_an_upload_goes_on_after_signing_in_again(
    stack: Stack, browser: Browser, tmp_path: Path
) -> None:
    name = "Sommer^Ida"
    study = folder_of(tmp_path, name)[name]
    with desk(browser, stack) as at:
        page = at.page
        # GIVEN a service that does not know the key any more, as far as the page can tell
        page.route("**/v1/uploads*", lambda route: route.fulfill(status=401, body="{}"))
        bring(page, tmp_path)
        page.get_by_role("dialog", name="Please sign in again").wait_for()
        accessible(at, "desk-expired")
        page.unroute_all()
        # WHEN the same person signs in again
        page.get_by_role("dialog").get_by_label("Service key").fill(stack.service_key)
        page.get_by_role("button", name="Sign in with the key").click()
        # THEN what was under way goes on
        page.get_by_role("heading", name="Everything has arrived").wait_for()
        page.locator(f'.exam-row[data-study="{study}"]').wait_for()


def test_a_session_that_ended_while_the_computer_slept_is_asked_for_again(stack: Stack, browser: Browser) -> None:
    with desk(browser, stack) as at:
        at.page.evaluate(_ENDED_ASLEEP)
        at.page.evaluate(_ASK_LATE)
        at.page.get_by_role("dialog", name="Please sign in again").wait_for()
        assert at.page.evaluate("window.late") == 401


def sign_in(page: Page, name: str) -> None:
    """On the issuer's own pages."""
    page.get_by_placeholder("Enter any login").fill(name)
    page.get_by_placeholder("and password").fill("any")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()


def test_staff_sign_in_with_their_issuer_again_when_the_token_expires_and_out(
    stack: Stack, browser: Browser, small_exam: object
) -> None:
    home = f"{stack.api_url}/desk"
    with oidc_issuer(home, lifetimes=[AN_HOUR, 3 * AN_HOUR]) as issuer:
        settings = {
            "OIDC_ISSUER": issuer,
            "OIDC_AUDIENCE": "desk",
            "OIDC_CLIENT_ID": "desk",
            "OIDC_ROLES": "staff=service",
            "OIDC_DEFAULT_ROLE": "reader",
        }
        with (
            variables(stack, "AuthorizeFunction", **settings),
            variables(stack, "GetPageFunction", **settings),
            tab(browser, home) as at,
        ):
            page = at.page
            page.clock.install()
            page.get_by_role("button", name="Sign in", exact=True).click()
            sign_in(page, "nurse")
            # THEN the address holds neither code nor state, and the role is what the token says
            page.get_by_text("oidc:nurse (may change)").wait_for()
            assert page.url == home
            view(page, "Exams")
            page.locator(".exam-row").first.wait_for()
            held: list[Route] = []
            page.route("**/v1/workitems?late", lambda route: held.append(route))
            page.evaluate(_ASK_LATE)
            wait_for(lambda: page.title() and held)
            # WHEN the token has expired, signing in again takes a window, and the view stays
            page.context.add_init_script("window.close = () => {}")
            page.clock.fast_forward((AN_HOUR + 60) * 1000)
            page.get_by_role("dialog", name="Please sign in again").wait_for()
            with page.context.expect_page() as window:
                page.get_by_role("dialog").get_by_role("button", name="Sign in", exact=True).click()
            window.value.get_by_role("button", name="Continue").click()
            page.get_by_role("dialog").wait_for(state="detached")
            page.locator(".exam-row").first.wait_for()
            # AND a late answer to the token before does not end the new session
            held[0].fulfill(status=401, body="{}")
            assert page.evaluate("window.late") == 401
            assert page.get_by_role("dialog").count() == 0
            # AND a window that its browser does not close keeps nothing
            window.value.get_by_text("You can close this window.").wait_for()
            assert window.value.evaluate("({...sessionStorage})") == {}
            # AND an answer that this tab did not ask for is not taken
            page.goto(f"{home}?code=stolen&state=guessed")
            page.get_by_text("Signing in did not work").wait_for()
            page.goto(home)
            token = page.evaluate("JSON.parse(sessionStorage['desk.session']).accessToken")
            page.get_by_role("button", name="Sign out").click()
            page.get_by_role("button", name="Yes, sign me out").click()
            page.get_by_role("heading", name="Sign in").wait_for()
            # which the issuer was asked for without the token, which the service takes for an hour more
            ended = [url for url in at.asked if "post_logout_redirect_uri" in url]
            assert len(ended) == 1
            assert [url for url in at.asked if "id_token_hint" in url or token in url] == []
            assert at.remembered()["session"] == {}
            # THEN the issuer does not know this browser any more
            page.get_by_role("button", name="Sign in", exact=True).click()
            sign_in(page, "visitor")
            page.get_by_text("oidc:visitor (may look)").wait_for()
            assert page.get_by_role("navigation").get_by_role("link", name="Bring in").count() == 0
            # The issuer's own pages ask for a font.
            theirs = (issuer, "https://fonts.googleapis.com/")
            at.elsewhere[:] = [url for url in at.elsewhere if not url.startswith(theirs)]
    renew_authorizer(stack)
