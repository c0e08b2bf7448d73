"""Pictures for viewers: media types, viewport and window, frames, what has no picture."""

from io import BytesIO

import pytest
from PIL import Image
from pydicom.dataset import Dataset

from tests.support.viewer_calls import Viewer
from tests.support.viewers import Archive, image

MINE, OTHER, SERIES = "1.2.1", "1.2.2", "1.2.1.1"


@pytest.fixture
def stored(archive: Archive) -> Dataset:
    made = image("P1", MINE, SERIES, rows=40, columns=80, frames=3, bits=8)
    archive.add(made)
    archive.lacks |= {"thumbnail", "rendered"}
    return made


def path(dataset: Dataset, tail: str) -> str:
    return f"/dicomweb/studies/{MINE}/series/{SERIES}/instances/{dataset.SOPInstanceUID}{tail}"


@pytest.mark.parametrize(
    ("accept", "format"),
    [
        *(("", "JPEG"), ("*/*", "JPEG"), ("image/png", "PNG"), ("image/*;q=0.1, image/png", "PNG")),
        *(("image/jpeg", "JPEG"), ("image/jpeg;q=0, image/*", "PNG"), ("image/jpeg;q=0.1, image/*", "PNG")),
        *(("*/*, image/jpeg;q=0", "PNG"), ("image/*;q=0, */*, image/jpeg;q=0.1", "JPEG")),
    ],
)
def test_a_picture_of_its_own_size_in_the_callers_format(
    accept: str, format: str, viewer: Viewer, stored: Dataset
) -> None:
    given = viewer.get(path(stored, "/rendered"), Accept=accept)
    picture = Image.open(BytesIO(given.body))
    assert (given.status, picture.format, picture.size) == (200, format, (80, 40))


@pytest.mark.parametrize(("viewport", "size"), [("20,20", (20, 10)), ("200,20", (40, 20)), ("500,500", (80, 40))])
def test_it_fits_into_the_viewport_and_is_not_enlarged(
    viewport: str, size: tuple[int, int], viewer: Viewer, stored: Dataset
) -> None:
    given = viewer.get(path(stored, f"/frames/2/rendered?viewport={viewport}"), Accept="image/png")
    assert Image.open(BytesIO(given.body)).size == size


def test_frames_and_windows_differ(viewer: Viewer, stored: Dataset) -> None:
    asked = ("/frames/1/rendered", "/frames/2/rendered", "/frames/1/rendered?window=128,10,linear")
    bodies = {viewer.get(path(stored, tail), Accept="image/png").body for tail in asked}
    assert len(bodies) == len(asked)


@pytest.mark.parametrize(
    "query", ["viewport=0,1", "viewport=1", "viewport=1,2,3,4,5,6", "window=1,2", "window=1,0,linear", "quality=0"]
)
def test_what_cannot_be_read_is_400(query: str, viewer: Viewer, stored: Dataset) -> None:
    given = viewer.get(path(stored, f"/rendered?{query}"))
    assert (given.status, given.json["code"]) == (400, "INVALID_PARAMETER")


def test_two_frames_are_400_and_another_format_is_406(viewer: Viewer, stored: Dataset) -> None:
    assert viewer.get(path(stored, "/frames/1,2/rendered")).json["code"] == "INVALID_FRAMES"
    for accept in ("image/gif", "image/jpeg;q=0, image/png;q=0, image/*", "image/*;q=0, */*"):
        assert viewer.get(path(stored, "/rendered"), Accept=accept).status == 406, accept
    assert viewer.get(path(stored, "/frames/9/rendered")).status == 404


def test_what_has_no_picture_is_406_and_has_a_placeholder_for_a_thumbnail(viewer: Viewer, archive: Archive) -> None:
    report = image("P1", MINE, SERIES, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
    del report.PixelData
    archive.add(report)
    assert viewer.get(path(report, "/rendered")).status == 406
    given = viewer.get(path(report, "/thumbnail"))
    assert (given.status, given.headers["Content-Type"]) == (200, "image/jpeg")
    assert given.headers["X-Thumbnail"].startswith("placeholder")


def test_a_study_and_a_series_have_thumbnails(viewer: Viewer, stored: Dataset) -> None:
    for tail in (f"studies/{MINE}/thumbnail", f"studies/{MINE}/series/{SERIES}/thumbnail?viewport=32,32"):
        given = viewer.get(f"/dicomweb/{tail}")
        assert max(Image.open(BytesIO(given.body)).size) == (32 if "viewport" in tail else 80)


def test_a_token_sees_pictures_of_its_study_alone(viewer: Viewer, stored: Dataset) -> None:
    for tail in ("/rendered", "/thumbnail", "/frames/1/rendered"):
        assert viewer.get(path(stored, tail), context=viewer.token(MINE)).status == 200
        assert viewer.get(path(stored, tail), context=viewer.token(OTHER)).status == 404
        other = viewer.get(path(stored, tail), context=viewer.token(MINE, "P2"))
        assert (other.status, other.json["code"]) == (403, "EXAM_SUSPENDED")
