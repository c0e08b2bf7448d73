"""OHIF from this service against OHIF straight on Orthanc: from the press to the first picture, at a desk.

Both are the same package in the same browser, in turn. Ours comes through API Gateway and `get_page`, and asks the
façade below ``/dicomweb`` with the token of the share page. Theirs comes from a plain web server, compressed beforehand
as ours, and asks Orthanc's DICOMweb with a password; the browser is told to ask across origins without asking first,
which Orthanc does not allow by itself. Each first visit has a profile of its own, whose cache is empty; the second is
in the same tab.
"""

import base64
import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from playwright.sync_api import Browser, Page

from benchmarks.browsing import PATIENCE, deployed, profile
from benchmarks.servers import WorkNotDone
from benchmarks.table import Row, in_turn
from local.settings import SHARED, Pacs
from tests.support.loopback import Loopback, LoopbackHandler
from tests.support.page_exams import Exam, ct
from web.ohif import viewer
from web.source import Source

SLICES, SIDE = 60, 512
ROUNDS = 3
# Notes when the middle of the first viewport is not black any more: the phantom has tissue there.
_WATCH = """(() => {
  const bright = (canvas) => {
    const { width, height } = canvas;
    if (width < 64) return false;
    const { data } = canvas.getContext('2d').getImageData(width / 2 - 16, height / 2 - 16, 32, 32);
    return data.some((value, at) => at % 4 < 3 && value > 60);
  };
  const look = () => {
    if ([...document.querySelectorAll('.cornerstone-canvas')].some(bright)) window.firstPicture = Date.now();
    else requestAnimationFrame(look);
  };
  look();
})()"""
_OF_ORTHANC = """window.config = {
  routerBasename: "/viewer", extensions: [], modes: [], customizationService: [{"ohif.tours": {$set: []}}],
  showStudyList: false, investigationalUseDialog: {option: "never"}, maxNumberOfWebWorkers: 3,
  maxNumRequests: {interaction: 20, thumbnail: 5, prefetch: 10}, defaultDataSourceName: "orthanc",
  dataSources: [{namespace: "@ohif/extension-default.dataSourcesModule.dicomweb", sourceName: "orthanc",
    configuration: {friendlyName: "Orthanc", name: "orthanc", qidoRoot: URL, wadoRoot: URL,
      qidoSupportsIncludeField: true, imageRendering: "wadors", thumbnailRendering: "wadors", enableStudyLazyLoad: true,
      supportsFuzzyMatching: false, supportsWildcard: false, singlepart: "bulkdata,video,pdf",
      bulkDataURI: {enabled: true}, omitQuotationForMultipartRequest: true}}],
};"""


def measure() -> Iterator[Row]:
    """Return the time to the first picture, first and second visit, ours and Orthanc's."""
    with deployed("--disable-web-security") as (stack, browser):
        exam = Exam(stack).add("CT", "Axial", ct(SLICES, SIDE))
        with _plain_server(stack.pacs) as plain:
            yield from _compared(browser, exam, f"{plain}/viewer/viewer", stack.pacs)


def _compared(browser: Browser, exam: Exam, plain: str, pacs: Pacs) -> Iterator[Row]:
    again: dict[str, list[float]] = {"ours": [], "theirs": []}

    def ours() -> float:
        with _desk(browser) as page:
            page.goto(exam.link(role="diagnostic"))
            page.locator("button.primary").click()
            page.wait_for_selector(".stage[data-shown]:not(.busy)")
            first = _pressed(page)
            page.go_back()
            page.wait_for_selector(".stage[data-shown]:not(.busy)")
            again["ours"].append(_pressed(page))
            return first

    def theirs() -> float:
        secret = base64.b64encode(f"{pacs.user}:{pacs.password}".encode()).decode()
        with _desk(browser, {"Authorization": f"Basic {secret}"}) as page:
            first = _visited(page, plain, exam.study_uid)
            page.goto("about:blank")
            again["theirs"].append(_visited(page, plain, exam.study_uid))
            return first

    found = in_turn({"ours": ours, "theirs": theirs}, rounds=ROUNDS)
    against = "OHIF on a plain web server, straight on Orthanc"
    yield _row("OHIF: press to first picture, first visit", against, found["ours"], found["theirs"])
    second = {name: tuple(values[-ROUNDS:]) for name, values in again.items()}
    yield _row("…, second visit", against, second["ours"], second["theirs"])


def _row(measured: str, against: str, ours: tuple[float, ...], theirs: tuple[float, ...]) -> Row:
    ratios = sorted(one / other for one, other in zip(ours, theirs, strict=True))
    middle = len(ratios) // 2
    return Row(measured, against, sorted(ours)[middle], "ms", sorted(theirs)[middle], ratios[middle], 1.5)


@contextmanager
def _desk(browser: Browser, headers: dict[str, str] | None = None) -> Iterator[Page]:
    with profile(browser, "desktop", extra_http_headers=headers or {}) as context:
        context.add_init_script(_WATCH)
        yield context.new_page()


def _pressed(page: Page) -> float:
    """Press the link of the share page; return the milliseconds until OHIF shows a picture."""
    pressed = float(page.evaluate("Date.now()"))
    page.get_by_role("link", name="Open in the diagnostic viewer").click()
    page.wait_for_url("**/viewer/viewer**", wait_until="commit")
    return _first_picture(page) - pressed


def _visited(page: Page, plain: str, study_uid: str) -> float:
    pressed = float(page.evaluate("Date.now()"))
    page.goto(f"{plain}?StudyInstanceUIDs={study_uid}", wait_until="commit")
    return _first_picture(page) - pressed


def _first_picture(page: Page) -> float:
    page.locator(".cornerstone-canvas").first.wait_for()
    for _ in range(PATIENCE // 50):
        if found := page.evaluate("window.firstPicture"):
            return float(found)
        page.wait_for_timeout(50)
    raise WorkNotDone("OHIF showed no picture")


@contextmanager
def _plain_server(pacs: Pacs) -> Iterator[str]:
    """Serve OHIF as it is packed, but for its configuration, from memory."""
    sources = {f"/{source.path}": source for source in viewer(SHARED / "downloads")}
    config = next(path for path in sources if path.endswith("/app-config.js"))
    own = _OF_ORTHANC.replace("URL", json.dumps(pacs.url))
    sources[config] = Source(config.lstrip("/"), own.encode(), "viewer", is_immutable=True)
    files = {path: (source, gzip.compress(source.content, 6)) for path, source in sources.items()}
    with Loopback(partial(_Files, files)) as server:
        yield server.url


class _Files(LoopbackHandler):
    def __init__(self, files: dict[str, tuple[Source, bytes]], *rest: object) -> None:
        self._files = files
        super().__init__(*rest)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        found = self._files.get(self.path.partition("?")[0])
        self.send_response(200 if found else 404)
        if found:
            self.send_header("Content-Type", found[0].media_type)
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Cache-Control", "public, max-age=31536000" if found[0].is_immutable else "no-cache")
        self.send_header("Content-Length", str(len(found[1]) if found else 0))
        self.end_headers()
        if found:
            self.wfile.write(found[1])
