"""The desk, signed in by a link of `make up` or with a key that is typed, and folders to bring in."""

import hashlib
import io
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Page, Route
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage, generate_uid

from tests.support.authorizer import renew_authorizer
from tests.support.browser import Tab, axe_violations, tab
from tests.support.dicom_files import saved
from tests.support.page_exams import ct
from tests.support.stack import Stack

VIEWER = {"viewer/start.exe": b"MZ" + b"\0" * 500, "autorun.inf": b"[autorun]\n"}


def table_of_contents() -> bytes:
    """Return the DICOMDIR of a CD, as far as anybody looks at it here."""
    dataset = Dataset()
    dataset.FileSetID = "CD"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


@contextmanager
def desk(browser: Browser, stack: Stack, key: str = "", **options: Any) -> Iterator[Tab]:
    """Open the desk, by a link that signs in unless a key is given; no request and no address has the key."""
    home = f"{stack.api_url}/desk"
    with tab(browser, home if key else stack.local.desk_link(), **options) as at:
        if key:
            at.page.get_by_label("Service key").fill(key)
            at.page.get_by_role("button", name="Sign in with the key").click()
        at.page.get_by_role("button", name="Sign out").wait_for()
        assert at.page.url == home
        assert [url for url in at.asked if (key or stack.service_key) in url] == []
        yield at


def view(page: Page, name: str) -> None:
    """Go to a view."""
    page.get_by_role("navigation").get_by_role("link", name=name).click()
    page.get_by_role("heading", name=name, level=1).wait_for()


def accessible(at: Tab, picture: str) -> None:
    """Fail if the page as it is now breaks a rule of accessibility; in dark mode, too."""
    at.picture(picture)
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        at.page.emulate_media(color_scheme=scheme)
        assert axe_violations(at.page) == []


def folder_of(place: Path, *patients: str, slices: int = 3, **values: Any) -> dict[str, str]:
    """Write a CD: a CT of each patient, a viewer and a table of contents; return study by patient."""
    studies = {}
    for name in patients:
        studies[name], series = str(generate_uid()), generate_uid()
        given = {"PatientID": f"DESK-{studies[name][-10:]}", "PatientBirthDate": "19610412", "StudyDate": "20260131"}
        given |= {"StudyInstanceUID": studies[name], "SeriesInstanceUID": series, "SpecificCharacterSet": "ISO_IR 192"}
        for number, dataset in enumerate(ct(slices), start=1):
            own = {"PatientName": name, "Modality": "CT", "InstanceNumber": number, "SOPInstanceUID": generate_uid()}
            for keyword, value in (given | own | values).items():
                setattr(dataset, keyword, value)
            path = place / "DICOM" / name.partition("^")[0] / f"IM{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(saved(dataset))
    for name, content in (VIEWER | {"DICOMDIR": table_of_contents()}).items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return studies


def bring(page: Page, what: Path) -> None:
    """Choose a folder or a file, as a drop of it would."""
    with page.expect_file_chooser() as chosen:
        page.get_by_role("button", name="Choose a folder" if what.is_dir() else "Choose files").click()
    chosen.value.set_files(what)


def drop(page: Page, what: Path) -> None:
    """Drop a folder or a file on the page, which a browser reports as from the desktop (DevTools protocol)."""
    place = page.locator(".zone").bounding_box()
    assert place is not None
    data = {"items": [], "files": [str(what)], "dragOperationsMask": 1}
    at = {"x": place["x"] + place["width"] / 2, "y": place["y"] + place["height"] / 2}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "data": data, **at})
    session.detach()


@contextmanager
def another_key(stack: Stack, role: str) -> Iterator[str]:
    """A key with a role; withdrawn afterwards."""
    manager, secret = stack.client("secretsmanager"), stack.outputs["ServiceKeysSecret"]
    before = manager.get_secret_value(SecretId=secret)["SecretString"]
    key = f"dsk_{secrets.token_urlsafe(32)}"
    entry = {"name": f"desk-{role}", "role": role, "sha256": hashlib.sha256(key.encode()).hexdigest()}
    keys = [*json.loads(before)["keys"], entry]
    manager.put_secret_value(SecretId=secret, SecretString=json.dumps({"keys": keys}))
    try:
        renew_authorizer(stack)
        yield key
    finally:
        manager.put_secret_value(SecretId=secret, SecretString=before)
        renew_authorizer(stack)


def _synthetic(count: int) -> list[dict[str, str]]:
    """Exams and workitems at once."""
    common = {"PatientBirthDate": "19700101", "StudyDate": "20260131", "ModalitiesInStudy": "CT", "State": "SCHEDULED"}
    return [
        {**common, "StudyInstanceUID": f"1.2.{n}", "PatientName": f"Long^{n:05}", "PatientID": str(n)}
        | {"AccessionNumber": f"A{n}", "ScheduledStationAETitle": f"ST{n % 5}", "Modality": "CT"}
        | {
            "ScheduledProcedureStepStartTime": f"{8 + n % 10:02}{n % 60:02}",
            "ScheduledProcedureStepDescription": "Head",
        }
        for n in range(count)
    ]


def long_lists(page: Page) -> None:
    """Answer the page as a service with ten thousand exams and a thousand workitems of a day would."""
    exams, items = _synthetic(10_000), _synthetic(1_000)

    def list_exams(route: Route) -> None:
        asked = dict(pair.split("=") for pair in route.request.url.partition("?")[2].split("&"))
        start = int(asked["offset"])
        rows = exams[start : start + int(asked["limit"])]
        more = {"Link": '<x>; rel="next"'} if start + len(rows) < len(exams) else {}
        route.fulfill(status=200, headers={"Content-Type": "application/json", **more}, body=json.dumps(rows))

    def list_items(route: Route) -> None:
        route.fulfill(status=200, headers={"Content-Type": "application/json"}, body=json.dumps(items))

    page.route("**/exams/studies?*", list_exams)
    page.route("**/workitems?*", list_items)
    page.route("**/thumbnail*", lambda route: route.fulfill(status=404, body="{}"))
