"""Every image that pydicom decodes is a true picture over HTTP; everything else is the PACS's or a placeholder."""

import warnings
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from dicom_service.element_walk import NotDicom
from dicom_service.part10 import BytesSource, read_header
from tests.stack import Stack
from tests.unit.imaging.reference import mean_difference, sample_files, scaled
from tests.unit.imaging.test_sample_files import JPEG_TOLERANCE, reference_of

SIZE = 256


def with_own_uid(data: bytes, number: int) -> tuple[bytes, str]:
    """The file under a SOPInstanceUID of its own: several samples share one, and a PACS keeps the first."""
    uid = read_header(BytesSource(data)).sop_instance_uid
    own = (uid[:-4] + f"{number + 1000}")[: len(uid)]
    if len(uid) < 20 or data.count(uid.encode()) == 0:
        return data, uid
    return data.replace(uid.encode(), own.encode()), own


def show(stack: Stack, data: bytes, uid: str) -> tuple[str, Image.Image]:
    header = read_header(BytesSource(data))
    path = f"/exams/studies/{header.study_instance_uid}/series/{header.series_instance_uid}/instances/{uid}"
    given = stack.request("GET", path, params={"fileType": "image/jpeg", "size": str(SIZE)})
    assert given.status_code == 200, given.text
    return given.headers["X-Thumbnail"], Image.open(BytesIO(given.content))


def outcome(stack: Stack, path: Path, number: int) -> str:
    """Bring one file in, look at its picture, and say what it was."""
    try:
        data, uid = with_own_uid(path.read_bytes(), number)
    except NotDicom:
        return "refused at the door"
    given = stack.request("POST", "/exams", data=data, headers={"Content-Type": "application/dicom"})
    if given.status_code != 200:
        assert given.json()["code"] == "PACS_STORED_NONE", given.text
        return "refused by the PACS"
    source, shown = show(stack, data, uid)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = reference_of(path)
    if reference is None:
        assert source == "rendered" or source.startswith("placeholder"), source
        return source.partition(";")[0]
    assert source in ("frame", "rendered"), f"{source} though pydicom decodes it"
    expected = scaled(reference, SIZE)
    assert (shown.mode, shown.size) == (expected.mode, expected.size)
    assert mean_difference(shown, expected) <= JPEG_TOLERANCE
    return "true picture"


def test_every_image_that_pydicom_decodes_is_a_true_picture(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    counts, wrong = Counter[str](), []
    for number, path in enumerate(sample_files()):
        try:
            counts[outcome(stack, path, number)] += 1
        except AssertionError as error:
            wrong.append(f"{path.name}: {str(error).splitlines()[0]}")
    with capsys.disabled():
        summary = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        print(f"\npictures over HTTP: {summary}, {len(wrong)} wrong (tolerance {JPEG_TOLERANCE} of 255)")
    assert not wrong, "\n".join(wrong)
    assert counts["true picture"] > 130
