"""The page of an archive in a real browser, from a folder: pictures and reports, no server, nothing asked elsewhere."""

import io
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser

from tests.support import archives
from tests.support.archives import STUDY, pdf_report, slices, structured_report
from tests.support.browser import ARTIFACTS, Tab, axe_violations

# How a browser knows that a picture was read, and which of them it shows.
SHOWN = """[...document.images].filter((one) => one.checkVisibility())
    .map((one) => [one.alt, one.complete && one.naturalWidth])"""


def test_unpacked_it_shows_pictures_and_reports_without_a_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, browser: Browser
) -> None:
    # GIVEN an archive of twelve slices and two reports, unpacked; a browser's own viewer fails at a PDF without pages
    report = io.BytesIO()
    Image.new("L", (200, 300), 255).save(report, "PDF")
    monkeypatch.setattr(archives, "PDF_BYTES", report.getvalue())
    with archives.world(monkeypatch) as world:
        world.pacs.add(*slices(12), structured_report(STUDY), pdf_report(STUDY))
        world.begin()
        world.build()
        world.zip().extractall(tmp_path)
    monkeypatch.undo()

    with browser.new_context(offline=True) as context:
        tab = Tab(context.new_page(), "file://")
        tab.page.goto((tmp_path / "index.html").as_uri())

        # THEN the picture in the middle is there, and the slider shows each of them
        assert tab.page.evaluate(SHOWN) == [["Picture 7 of 12", 128]]
        slider = tab.page.get_by_role("slider", name="Pictures of Head <native>")
        seen = {tab.page.evaluate(SHOWN)[0][0]}
        for _ in range(11):
            slider.press("ArrowLeft" if len(seen) < 7 else "ArrowRight")
            seen.add(tab.page.evaluate(SHOWN)[0][0])
        slider.press("End")
        assert tab.page.evaluate(SHOWN) == [["Picture 12 of 12", 128]]
        assert len(seen) >= 7

        # AND the reports are: one as a list, one as the PDF beside it
        assert tab.page.get_by_text("Nodule <5 mm & stable").is_visible()
        assert tab.page.get_by_role("link", name="Report as PDF").get_attribute("href") == "REPORTS/RP000001.PDF"
        assert tab.page.locator("iframe").get_attribute("src") == "REPORTS/RP000001.PDF"
        assert tab.page.get_by_text("Günther").is_visible()
        assert axe_violations(tab.page) == []
        ARTIFACTS.mkdir(exist_ok=True)
        tab.page.screenshot(path=ARTIFACTS / "archive-page.png")
        tab.check()
