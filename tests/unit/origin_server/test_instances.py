"""Instances and bulk data for viewers: media types, what is too long, a PACS that offers less, who sees what."""

from io import BytesIO
from urllib.parse import urlsplit

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_service import aws
from dicom_service.exams import retrieve
from dicom_service.origin_server import answers, instances
from tests.support.viewer_calls import Viewer
from tests.support.viewers import EXPLICIT, Archive, Parts, compressed, file_of, image

MINE, OTHER, SERIES = "1.2.1", "1.2.2", "1.2.1.1"
JPEG_LS, RLE = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.5"
ANY_FILE = 'multipart/related; type="application/dicom"; transfer-syntax=*'


def path(dataset: Dataset, tail: str = "") -> str:
    return f"/dicomweb/studies/{MINE}/series/{SERIES}/instances/{dataset.SOPInstanceUID}{tail}"


@pytest.fixture
def stored(archive: Archive) -> Dataset:
    made = image("P1", MINE, SERIES, rows=64, columns=64, stored=12, PixelPaddingValue=7)
    archive.add(made)
    return made


@pytest.mark.parametrize("accept", ["", "*/*", ANY_FILE, 'multipart/related; type="application/dicom"'])
def test_a_file_is_the_one_part_of_a_multipart_body(accept: str, viewer: Viewer, stored: Dataset) -> None:
    given = viewer.get(path(stored), Accept=accept)
    assert given.headers["Content-Type"].startswith('multipart/related; type="application/dicom"; boundary=')
    parts = Parts.of(given.headers["Content-Type"], given.body)
    assert parts.bodies == [file_of(stored)]
    assert parts.headers[0]["content-type"] == f"application/dicom; transfer-syntax={EXPLICIT}"


def test_or_the_body_itself(viewer: Viewer, stored: Dataset) -> None:
    given = viewer.get(path(stored), Accept="application/dicom; transfer-syntax=*")
    assert (given.headers["Content-Type"], given.body) == (
        f"application/dicom; transfer-syntax={EXPLICIT}",
        file_of(stored),
    )
    again = viewer.get(path(stored), Accept="application/dicom", If_None_Match=given.headers["ETag"])
    assert again.status == 304


def test_a_compressed_file_is_406_where_nobody_makes_another_of_it(viewer: Viewer, archive: Archive) -> None:
    made = compressed(image("P1", MINE, SERIES, rows=64, columns=64), RLE)
    archive.add(made)
    assert viewer.get(path(made), Accept=ANY_FILE).status == 200
    for accept in ("application/dicom", f"application/dicom; transfer-syntax={JPEG_LS}", "image/jpeg"):
        given = viewer.get(path(made), Accept=accept)
        assert (given.status, given.json["code"]) == (406, "NOT_ACCEPTABLE"), accept


@pytest.mark.parametrize(
    "accept",
    [
        "application/dicom, */*",
        "application/dicom, */*;q=0.1",
        "application/*, */*",
        'multipart/related; type="application/dicom", multipart/related; type="*/*"; transfer-syntax=*',
    ],
)
def test_a_range_without_transfer_syntax_leaves_compressed_files_to_the_wider_one(
    accept: str, viewer: Viewer, stored: Dataset, archive: Archive
) -> None:
    made = compressed(image("P1", MINE, SERIES, rows=64, columns=64), RLE)
    archive.add(made)
    given = viewer.get(path(made), Accept=accept)
    assert given.status == 200
    parts = Parts.of(given.headers["Content-Type"], given.body)
    assert (parts.bodies, parts.headers[0]["content-type"]) == (
        [file_of(made)],
        f"application/dicom; transfer-syntax={RLE}",
    )
    # What is not compressed is what the more exact one takes, in its form.
    kind = viewer.get(path(stored), Accept=accept).headers["Content-Type"].partition(";")[0]
    assert kind == ("multipart/related" if accept.startswith("multipart") else "application/dicom")
    # A rejection is one of every transfer syntax.
    assert viewer.get(path(made), Accept=accept.replace(",", ";q=0,", 1)).status == 406


def test_the_most_exact_range_decides_on_a_file(viewer: Viewer, stored: Dataset) -> None:
    for accept in ("application/dicom;q=0, */*", f"application/dicom; transfer-syntax={EXPLICIT};q=0, */*"):
        assert viewer.get(path(stored), Accept=accept).status == 406, accept
    for accept in ("multipart/related;q=0, */*", 'multipart/related; type="application/dicom";q=0, */*'):
        alone = viewer.get(path(stored), Accept=accept)
        assert (alone.status, alone.body) == (200, file_of(stored)), accept
    whole = viewer.get(path(stored, "/bulkdata/7FE00010"), Accept="multipart/related;q=0, */*")
    assert (whole.status, whole.body) == (200, stored.PixelData)


def shorten(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(retrieve, "LARGEST_ANSWER", limit)
    for module in (answers, instances):
        monkeypatch.setattr(module, "LARGEST_ANSWER", limit)


def test_a_file_that_is_too_long_is_compressed_without_loss(
    viewer: Viewer, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = image("P1", MINE, SERIES, rows=64, columns=64, frames=2, stored=12)
    archive.add(made)
    shorten(monkeypatch, len(file_of(made)) - 1)
    given = viewer.get(path(made), Accept=ANY_FILE)
    (content,) = Parts.of(given.headers["Content-Type"], given.body).bodies
    read = dcmread(BytesIO(content))
    assert read.file_meta.TransferSyntaxUID == JPEG_LS and read.SOPInstanceUID == made.SOPInstanceUID
    assert np.array_equal(read.pixel_array, made.pixel_array)
    assert len(content) < len(file_of(made))
    del read.PixelData, made.PixelData
    assert read == made


@pytest.mark.parametrize("multipart", [False, True])
def test_what_does_not_fit_is_behind_a_link_in_the_form_that_was_asked_for(
    multipart: bool, viewer: Viewer, stored: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch, 100)
    accept = 'multipart/related; type="application/dicom"' if multipart else "application/dicom"
    given = viewer.get(path(stored), Accept=accept)
    assert (given.status, given.body) == (303, b"")
    found = aws.s3().get_object(Bucket="cache", Key=urlsplit(given.headers["Location"]).path.lstrip("/"))
    body, content_type = found["Body"].read(), found["ContentType"]
    content = Parts.of(content_type, body).bodies[0] if multipart else body
    assert content == file_of(stored)
    assert content_type.partition(";")[0] == ("multipart/related" if multipart else "application/dicom")


def test_a_token_gets_files_of_its_study_alone(viewer: Viewer, stored: Dataset) -> None:
    for tail in ("", "/bulkdata/7FE00010"):
        assert viewer.get(path(stored, tail), context=viewer.token(MINE)).status == 200
        assert viewer.get(path(stored, tail), context=viewer.token(OTHER)).status == 404
        other = viewer.get(path(stored, tail), context=viewer.token(MINE, "P2"))
        assert (other.status, other.json["code"]) == (403, "EXAM_SUSPENDED")
        assert viewer.get(path(stored, tail), context=viewer.token(MINE, examRole="patient")).status == 403


# ---- bulk data


@pytest.fixture
def nested(archive: Archive) -> Dataset:
    inner, outer = Dataset(), Dataset()
    inner.add_new(0x54001010, "OW", bytes(range(200)))
    outer.WaveformSequence = [Dataset(), inner]
    made = image("P1", MINE, SERIES, WaveformSequence=[outer])
    archive.add(made)
    return made


@pytest.mark.parametrize("lacks", [set(), {"bulkdata"}, {"metadata"}])
@pytest.mark.parametrize("tail", ["7FE00010", "54000100.0.54000100.1.54001010"])
def test_values_are_had_by_their_links(
    tail: str, lacks: set[str], viewer: Viewer, nested: Dataset, archive: Archive
) -> None:
    archive.lacks |= lacks
    wanted = nested.PixelData if tail == "7FE00010" else bytes(range(200))
    alone = viewer.get(path(nested, f"/bulkdata/{tail}"), Accept="application/octet-stream")
    assert (alone.status, alone.body) == (200, wanted)
    whole = viewer.get(path(nested, f"/bulkdata/{tail}"), Accept="*/*")
    assert Parts.of(whole.headers["Content-Type"], whole.body).bodies == [wanted]


def test_a_pacs_without_metadata_is_asked_for_them_once(viewer: Viewer, nested: Dataset, archive: Archive) -> None:
    archive.lacks.add("metadata")
    for _ in range(3):
        assert viewer.get(path(nested, "/bulkdata/7FE00010"), Accept="application/octet-stream").status == 200
    assert (archive.asked["metadata"], archive.asked["file"]) == (1, 3)


def test_compressed_pixel_data_have_a_part_for_each_frame(viewer: Viewer, archive: Archive) -> None:
    made = compressed(image("P1", MINE, SERIES, rows=64, columns=64, frames=3), RLE)
    archive.add(made)
    archive.lacks.add("bulkdata")
    accept = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
    given = viewer.get(path(made, "/bulkdata/7FE00010"), Accept=accept)
    parts = Parts.of(given.headers["Content-Type"], given.body)
    frames = viewer.get(path(made, "/frames/1,2,3"), Accept=accept)
    assert parts.bodies == Parts.of(frames.headers["Content-Type"], frames.body).bodies


@pytest.mark.parametrize("tail", ["00420011", "54000100.0.54000100.9.54001010", "00100010", "54000100"])
def test_what_is_no_bulk_data_is_404(tail: str, viewer: Viewer, nested: Dataset) -> None:
    given = viewer.get(path(nested, f"/bulkdata/{tail}"))
    assert (given.status, given.json["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("tail", ["7FE0001", "7FE00010.0", "..", "x", "7FE00010" * 40])
def test_what_is_no_path_is_400(tail: str, viewer: Viewer, nested: Dataset, archive: Archive) -> None:
    given = viewer.get(path(nested, f"/bulkdata/{tail}"))
    assert (given.status, given.json["code"]) == (400, "INVALID_PATH")
    assert not archive.asked


@pytest.mark.parametrize(
    "link",
    ["http://elsewhere.example.org/secret", "file:///etc/passwd", f"/studies/{OTHER}/x", f"/studies/{MINE}/../../x"],
)
def test_a_link_of_the_pacs_to_elsewhere_is_not_followed(
    link: str, viewer: Viewer, nested: Dataset, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support import viewers

    original = viewers.metadata_of

    def forged(dataset: Dataset, at: str = "") -> dict[str, object]:
        made = original(dataset, at)
        made["7FE00010"]["BulkDataURI"] = link
        return made

    monkeypatch.setattr(viewers, "metadata_of", forged)
    given = viewer.get(path(nested, "/bulkdata/7FE00010"), Accept="application/octet-stream")
    # The value comes from the file instead.
    assert (given.status, given.body, archive.asked["bulkdata"], archive.asked["file"]) == (200, nested.PixelData, 0, 1)
