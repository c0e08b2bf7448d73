"""Every image that pydicom decodes is a true picture over HTTP; everything else is the PACS's or a placeholder.

One file of each kind; ``SOAK=1`` takes all of them, as tests/unit/imaging does in process.
"""

import os
import warnings
from collections import Counter
from io import BytesIO
from pathlib import Path

from PIL import Image

from dicom_service.element_walk import NotDicom
from dicom_service.part10 import BytesSource, read_header
from tests.support.exams import send_to_pacs
from tests.support.pictures import (
    JPEG_TOLERANCE,
    mean_difference,
    one_of_each_kind,
    reference_of,
    sample_files,
    scaled,
    with_own_uid,
)
from tests.support.stack import Stack

SOAK = os.environ.get("SOAK") == "1"
SIZE = 256
LARGEST_BODY = 4_500_000


def bring_in(stack: Stack, data: bytes) -> bool:
    """Upload a file; one above the limit of POST /exams goes to the PACS itself. False where the PACS refuses it."""
    if len(data) <= LARGEST_BODY:
        given = stack.request("POST", "/exams", data=data, headers={"Content-Type": "application/dicom"})
        assert given.ok or given.json()["code"] == "PACS_STORED_NONE", given.text
        return given.ok
    return send_to_pacs(stack, [data]).ok


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
    if not bring_in(stack, data):
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


def test_every_image_that_pydicom_decodes_is_a_true_picture(stack: Stack) -> None:
    counts, wrong = Counter[str](), []
    files = sample_files() if SOAK else one_of_each_kind(sample_files())
    assert len(files) >= 70
    for number, path in enumerate(files):
        try:
            counts[outcome(stack, path, number)] += 1
        except AssertionError as error:
            wrong.append(f"{path.name}: {str(error).splitlines()[0]}")
    summary = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    print(f"pictures over HTTP: {summary}, {len(wrong)} wrong (tolerance {JPEG_TOLERANCE} of 255)")
    assert not wrong, "\n".join(wrong)
    assert counts["true picture"] > (130 if SOAK else 35)
