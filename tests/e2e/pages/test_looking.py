"""The exam in a browser: scrolled, zoomed, played, signed out of, on a desk and on a phone."""

import re
import zipfile
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.support.another_path import another_path
from tests.support.browser import NOTHING, SIZES, Tab, axe_violations, tab
from tests.support.page_exams import PDF, Exam, mammogram, pdf, raw_data, structured_report, ultrasound, x_ray
from tests.support.stack import Stack
from tests.support.waiting import wait_for

SLICES, MIDDLE = 300, 151
# More than an answer of Lambda holds.
LONG_PDF = 6_000_000
_NOTE_BLOBS = """() => {
  window.blobs = [];
  const made = URL.createObjectURL;
  URL.createObjectURL = (blob) => window.blobs.push(blob) && made(blob);
}"""
_BLOBS = "Promise.all(window.blobs.map(async (blob) => [blob.size, await blob.slice(0, 5).text()]))"
_LARGE = re.compile(r"/instances/.*size=(1024|2048)")
# How high the pictures are that are drawn, one after the other.
_NOTE_DRAWN = """() => {
  window.drawn = [];
  const { drawImage } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.drawImage = function (picture, ...rest) {
    window.drawn.push(picture.height);
    return drawImage.call(this, picture, ...rest);
  };
}"""
_BRIGHTEST = """() => {
  const canvas = document.querySelector('.stage canvas');
  return canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data
    .reduce((most, value, at) => (at % 4 === 3 ? most : Math.max(most, value)), 0);
}"""


def press_open(page: Page) -> None:
    page.locator("button.primary").click()


def position(page: Page) -> int:
    return int(page.locator(".position").inner_text().split("/")[0])


def touch(page: Page, *points: list[tuple[float, float]]) -> None:
    """Move fingers over the stage as a touch screen reports it; each finger is a list of places, from 0 to 1."""
    box = page.locator(".stage").bounding_box()
    assert box
    session = page.context.new_cdp_session(page)
    for step in range(len(points[0])):
        places = [
            {"x": box["x"] + box["width"] * finger[step][0], "y": box["y"] + box["height"] * finger[step][1], "id": nr}
            for nr, finger in enumerate(points)
        ]
        kind = "touchMove" if step else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    session.detach()


def scale(page: Page) -> float:
    return float(page.evaluate("new DOMMatrix(getComputedStyle(document.querySelector('.stage canvas')).transform).a"))


def look_through(at: Tab) -> None:
    """Leaf through the stack by keyboard, wheel and slider."""
    stage = at.page.locator(".stage")
    stage.press("ArrowDown")
    at.shown(MIDDLE + 1)
    stage.press("Home")
    at.shown(1)
    stage.press("PageDown")
    at.shown(11)
    stage.hover()
    at.page.mouse.wheel(0, 120)
    at.shown(12)
    at.page.get_by_role("button", name="Next picture").click()
    at.shown(13)
    at.page.get_by_label("Position in the series").fill("250")
    at.shown(250)
    assert stage.get_attribute("aria-label") == "Axial: picture 250 of 300"


def test_a_patient_sees_the_exam_at_a_desk(stack: Stack, browser: Browser, large_exam: Exam) -> None:
    issued = large_exam.issue()
    with tab(browser, issued["link"]) as at:
        press_open(at.page)
        at.shown(MIDDLE)
        at.page.get_by_text("山田 太郎 (Tarou Yamada)").wait_for()
        at.page.get_by_text("31 January 2026").wait_for()
        at.page.get_by_text("Größe unverändert.").wait_for()
        assert axe_violations(at.page) == []
        at.picture("share-desktop")
        look_through(at)
        before = at.page.evaluate("document.querySelector('.stage canvas').toDataURL()")
        at.page.get_by_label("Brightness for").select_option("bone")
        at.until(f"document.querySelector('.stage canvas').toDataURL() !== {before!r}")
        at.page.get_by_role("button", name="Larger").click()
        assert scale(at.page) == pytest.approx(1.5)
        at.page.get_by_role("button", name="Whole picture").click()
        assert scale(at.page) == 1
        at.page.get_by_role("button", name="Play", exact=True).click()
        at.until("Number(document.querySelector('.stage').dataset.shown) !== 250")
        at.page.get_by_role("button", name="Pause").click()
        with at.page.expect_response("**/access-token"):
            at.page.get_by_role("button", name="Sign out").click()
        at.page.get_by_role("heading", name="You are signed out").wait_for()
        assert at.remembered() == NOTHING
    (use,) = stack.request("GET", f"/otps/{issued['otpId']}").json()["redemptions"]
    assert use["signedOutAt"]
    assert use["network"] == "127.0.0.0/24"
    assert use["opened"]["reports"] == 1
    assert use["opened"]["pictures"] > 20
    assert use["opened"]["files"] == 0


def test_a_patient_sees_the_exam_on_a_phone(browser: Browser, large_exam: Exam) -> None:
    with tab(browser, large_exam.link(), "phone", color_scheme="dark") as at:
        at.page.locator("button.primary").tap()
        at.shown(MIDDLE)
        assert at.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert axe_violations(at.page) == []
        at.picture("share-phone")
        touch(at.page, [(0.5, 0.3), (0.5, 0.4), (0.5, 0.5), (0.5, 0.6)])
        assert position(at.page) > MIDDLE + 10
        at.shown(position(at.page))
        touch(at.page, [(0.5, 0.6), (0.5, 0.5), (0.5, 0.3), (0.5, 0.2)])
        assert position(at.page) < MIDDLE
        touch(at.page, [(0.45, 0.5), (0.3, 0.4), (0.2, 0.3)], [(0.55, 0.5), (0.7, 0.6), (0.8, 0.7)])
        assert scale(at.page) > 2
        at.page.get_by_role("button", name="Sign out").tap()
        at.page.get_by_role("heading", name="You are signed out").wait_for()


def test_the_tap_right_behind_a_stroke_counts(browser: Browser, small_exam: Exam) -> None:
    """The finger leaves the stage in motion, as fingers do; a browser must not take that for a fling of the page."""
    with tab(browser, small_exam.link(), "phone") as at:
        at.page.locator("button.primary").tap()
        at.shown(7)
        for count in range(6):
            down = count % 2 == 0
            stroke = [(0.5, place) for place in ((0.3, 0.4, 0.6, 0.7) if down else (0.6, 0.5, 0.3, 0.2))]
            before = position(at.page)
            touch(at.page, stroke)
            there = position(at.page)
            assert there != before
            back = down or there == 12
            at.page.get_by_role("button", name="Previous picture" if back else "Next picture").tap()
            expect(at.page.locator(".position")).to_have_text(f"{there + (-1 if back else 1)} / 12")


def test_a_picture_that_comes_late_is_not_shown_for_another(stack: Stack, browser: Browser) -> None:
    """A large one is asked for when somebody zooms; then another picture, or another brightness, is chosen."""
    exam = Exam(stack).add("CT", "Large", [x_ray(1600, 1400), x_ray(1600, 1400)])
    held: list[Route] = []
    with tab(browser, exam.link()) as at:
        page = at.page
        press_open(page)
        at.shown(2)
        at.until("document.querySelector('.stage canvas').height > 512")
        page.evaluate(_NOTE_DRAWN)
        page.route(_LARGE, lambda route: held.append(route))
        for act in (
            lambda: page.locator(".stage").press("ArrowUp"),
            lambda: page.get_by_label("Brightness for").select_option("bone"),
        ):
            drawn = page.evaluate("window.drawn.length")
            # GIVEN a large picture that does not come
            page.get_by_role("button", name="Larger").click()
            wait_for(lambda: page.title() and len(held) == 1)
            # WHEN another one is shown meanwhile, which is large, too
            act()
            wait_for(lambda: page.title() and len(held) == 2)
            # THEN the late one is not drawn over it
            late, next_one = held
            with page.expect_event("requestfinished", lambda request, late=late: request == late.request):
                late.continue_()
            next_one.continue_()
            at.until("window.drawn.at(-1) > 512")
            held.clear()
            assert [height > 512 for height in page.evaluate(f"window.drawn.slice({drawn})")] == [False, True]


def test_an_answer_behind_the_end_changes_nothing(browser: Browser, small_exam: Exam) -> None:
    """Who signs out while something is under way reads that, and not that the access was taken away."""
    held: list[Route] = []
    with tab(browser, small_exam.link()) as at:
        page = at.page
        page.route("**/series?*", lambda route: held.append(route))
        press_open(page)
        wait_for(lambda: page.title() and held)
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("heading", name="You are signed out").wait_for()
        (late,) = held
        with page.expect_event("requestfinished", lambda request: request == late.request):
            late.fulfill(status=401, body="{}")
        page.evaluate("new Promise((done) => setTimeout(done, 200))")
        page.get_by_role("heading", name="You are signed out").wait_for()
        assert page.get_by_role("heading").all_inner_texts() == ["You are signed out"]


def test_after_signing_out_neither_the_token_nor_the_way_back_opens_anything(
    stack: Stack, browser: Browser, small_exam: Exam
) -> None:
    with tab(browser, small_exam.link()) as at:
        press_open(at.page)
        at.shown(7)
        token = at.page.evaluate("JSON.parse(sessionStorage['share.session']).accessToken")
        path = f"/exams/studies/{small_exam.study_uid}/series"
        assert stack.request("GET", path, key=token).status_code == 200
        with at.page.expect_response("**/access-token") as ended:
            at.page.get_by_role("button", name="Sign out").click()
            at.page.get_by_role("heading", name="You are signed out").wait_for()
        assert ended.value.status == 204
        assert stack.request("GET", path, key=token).status_code == 401
        at.page.goto(f"{stack.api_url}/health")
        at.page.go_back()
        at.page.get_by_role("heading").first.wait_for()
        assert at.page.locator("canvas").count() == 0
        assert at.page.locator("body").inner_text().count("Zoë") == 0


def test_the_exam_is_taken_home_as_a_zip_and_the_page_says_by_whom(browser: Browser, small_exam: Exam) -> None:
    with tab(browser, small_exam.issue(showAccesses=True)["link"]) as at:
        press_open(at.page)
        at.shown(7)
        with at.page.expect_download() as taken:
            at.page.get_by_role("button", name="Download").click()
        with zipfile.ZipFile(taken.value.path()) as archive:
            names = archive.namelist()
        assert "DICOMDIR" in names
        assert len([name for name in names if name.startswith("DICOM/")]) == 12
        at.page.locator(".stage canvas").wait_for()
        # Asking for it, and how far it is, is not said to be a download.
        at.page.get_by_text("Who has seen this exam").click()
        at.page.locator(".accesses li").first.wait_for()
        rows = [row for row in at.page.locator(".accesses li").all_inner_texts() if "with a link" in row]
        assert [row.rpartition(" · ")[2] for row in rows if "downloaded" in row] == ["downloaded files"]
        assert [row for row in rows if "asked for the ZIP" in row]


def test_without_download_there_is_no_button_for_it_nor_a_list_of_accesses_unasked(
    browser: Browser, small_exam: Exam
) -> None:
    with tab(browser, small_exam.link(download=False)) as at:
        press_open(at.page)
        at.shown(7)
        at.page.get_by_role("button", name="Sign out").wait_for()
        assert at.page.get_by_role("button", name="Download").count() == 0
        assert at.page.get_by_text("Who has seen this exam").count() == 0


def test_where_its_issuer_allows_it_the_page_says_who_has_seen_the_exam(
    stack: Stack, browser: Browser, small_exam: Exam
) -> None:
    issued = small_exam.issue(showAccesses=True)
    with tab(browser, issued["link"], "phone") as at:
        press_open(at.page)
        at.shown(7)
        at.page.get_by_text("Who has seen this exam").tap()
        at.page.locator(".accesses li").first.wait_for()
        rows = at.page.locator(".accesses li").all_inner_texts()
        assert [row for row in rows if "shared it" in row and "with a link" not in row]
        assert [row for row in rows if row.endswith("with a link · opened the link")]
        assert [row for row in rows if "with a link · saw pictures" in row]
        assert axe_violations(at.page) == []
        token = at.page.evaluate("JSON.parse(sessionStorage['share.session']).accessToken")
    path = f"/exams/studies/{small_exam.study_uid}/accesses"
    shown = stack.request("GET", path, key=token).json()
    assert {(row["address"], row["patientHash"]) for row in shown} == {(None, None)}
    assert {row["address"] for row in stack.request("GET", path).json()} == {"127.0.0.1"}


def test_a_pacs_that_is_down_while_scrolling_is_said_and_tried_again(
    stack: Stack, browser: Browser, small_exam: Exam
) -> None:
    with tab(browser, small_exam.link()) as at:
        press_open(at.page)
        at.shown(7)
        stack.orthanc.stop()
        try:
            at.page.get_by_label("Brightness for").select_option("lung")
            at.page.locator(".stage").press("ArrowDown")
            at.page.get_by_text("This picture cannot be loaded at the moment.").wait_for()
            assert axe_violations(at.page) == []
        finally:
            stack.orthanc.start()
        at.page.get_by_role("button", name="Try again").click()
        at.page.locator(".stage canvas:not([hidden])").wait_for()
        at.shown(8)


@pytest.mark.parametrize("size", SIZES)
def test_every_kind_of_exam_shows_what_it_has(stack: Stack, browser: Browser, size: str) -> None:
    exam = Exam(stack, "العمري^ليلى", "Every kind")
    exam.add("MG", "Left breast", [mammogram()]).add("DX", "Chest", [x_ray(1600, 1400)])
    exam.add("US", "Heart", [ultrasound()]).add("DOC", "PDF", [pdf()])
    exam.add("DOC", "Long PDF", [pdf(LONG_PDF)])
    exam.add("SR", "Text", [structured_report("لا نتائج حادة")]).add("OT", "Raw", [raw_data()])
    with tab(browser, exam.link(), size) as at:
        at.page.evaluate(_NOTE_BLOBS)
        press_open(at.page)
        at.page.get_by_text("العمري").wait_for()
        at.page.get_by_text("لا نتائج حادة").wait_for()
        at.until("document.querySelectorAll('.report a[href^=blob]').length === 2")
        assert sorted(at.page.evaluate(_BLOBS)) == [[len(PDF), "%PDF-"], [LONG_PDF, "%PDF-"]]
        for series, shown in (("Left breast", 1), ("Chest", 1), ("Heart", 4)):
            at.choose(series)
            at.shown(shown)
            at.page.locator(".stage canvas:not([hidden])").wait_for()
            at.until(f"({_BRIGHTEST})() > 100")
        at.page.get_by_role("button", name="Next picture").click()
        at.shown(5)
        at.page.get_by_role("button", name="Play", exact=True).click()
        at.until("Number(document.querySelector('.stage').dataset.shown) < 5")  # round to the beginning
        at.choose("Raw")
        at.page.get_by_text("No picture", exact=True).wait_for()
        at.until("document.querySelectorAll('.thumb canvas').length === 3")
        assert axe_violations(at.page) == []
        at.picture(f"kinds-{size}")


def test_a_long_pdf_at_another_origin_is_opened_by_a_button(stack: Stack, browser: Browser) -> None:
    """As on AWS, where S3 is another origin: the page may not fetch it, and the token does not go there."""
    link = Exam(stack).add("DOC", "Long PDF", [pdf(LONG_PDF)]).link()
    with another_path(stack.api_url) as url, tab(browser, link.replace(stack.api_url, url)) as at:
        press_open(at.page)
        button = at.page.get_by_role("button", name="Open the PDF")
        button.wait_for()
        assert at.elsewhere == []
        with at.page.expect_response(lambda given: "X-Amz-Signature=" in given.url) as opened:
            button.click()
        given = opened.value
        assert (given.status, given.headers["content-type"]) == (200, "application/pdf")
        assert given.headers["content-length"] == str(LONG_PDF)
        assert urlsplit(given.url).netloc == urlsplit(stack.api_url).netloc
        assert given.request.headers.keys().isdisjoint({"authorization", "referer"})
        assert at.elsewhere == [given.url]
        at.elsewhere.clear()


def test_large_pictures_get_as_many_pixels_as_the_screen_shows(stack: Stack, browser: Browser) -> None:
    exam = Exam(stack).add("DX", "Chest", [x_ray(1600, 1400)])
    with tab(browser, exam.link()) as at:
        press_open(at.page)
        at.shown(1)
        at.until("document.querySelector('.stage canvas').height > 512")
        assert [url for url in at.asked if "size=512" in url]


def test_an_exam_without_any_picture_says_so(stack: Stack, browser: Browser) -> None:
    with tab(browser, Exam(stack).add("OT", "Raw", [raw_data()]).link()) as at:
        press_open(at.page)
        at.page.get_by_text("No picture", exact=True).wait_for()
        at.shown(1)
        assert axe_violations(at.page) == []


@pytest.mark.parametrize(
    ("locale", "words"), [("it-IT", "Esci"), ("de-DE", "Abmelden"), ("fr-FR", "Se déconnecter"), ("es-ES", "Salir")]
)
def test_it_speaks_the_language_of_the_browser(browser: Browser, small_exam: Exam, locale: str, words: str) -> None:
    with tab(browser, small_exam.link(), "phone", locale=locale) as at:
        press_open(at.page)
        assert at.page.evaluate("document.documentElement.lang") == locale[:2]
        (asked,) = [url for url in at.asked if "/lang-" in url]  # also by the hint in the document's header
        assert asked.endswith(f"/lang-{locale[:2]}.js")
        at.shown(7)
        at.page.get_by_text("Zoë Müller").wait_for()
        at.page.get_by_role("button", name=words).wait_for()
        assert axe_violations(at.page) == []
