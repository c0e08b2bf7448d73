"""Every image that pydicom decodes becomes the same picture here; everything else one clear answer."""

import warnings
from collections import Counter
from io import BytesIO
from pathlib import Path

from PIL import Image
from pydicom.errors import InvalidDicomError

from imaging import CannotDecode, classify, render
from tests.support.pictures import (
    JPEG_TOLERANCE,
    mean_difference,
    read,
    reference_of,
    sample_files,
    scaled,
)

# Levels of 255, mean over the picture. Lossy JPEG decoders differ by a level or two where the reference used another
# one, and a re-encoded thumbnail of quality 85 by a few more.
PNG_TOLERANCE = 1.0


def check(path: Path, reference: Image.Image) -> None:
    """Compare both encodings of one file with the reference."""
    png = render(path, size=None, media_type="image/png")
    picture = Image.open(BytesIO(png.data))
    assert (picture.format, picture.mode, picture.size) == ("PNG", reference.mode, reference.size)
    assert (png.width, png.height) == reference.size
    assert mean_difference(picture, reference) <= PNG_TOLERANCE

    small = scaled(reference, 256)
    jpeg = render(path)
    picture = Image.open(BytesIO(jpeg.data))
    assert (picture.format, picture.mode, picture.size) == ("JPEG", reference.mode, small.size)
    assert mean_difference(picture, small) <= JPEG_TOLERANCE


def outcome(path: Path) -> str:
    """Render one file, hold it against the reference, and say what became of it."""
    reference = reference_of(path)
    if reference is not None:
        check(path, reference)
        return "compared"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            reason = classify(read(path))
        except InvalidDicomError:
            reason = None
    try:
        render(path)
    except CannotDecode:
        return "cannot decode" if reason is None else "placeholder"
    return "decoded here only"


def test_every_sample_that_pydicom_decodes_is_a_true_picture() -> None:
    """GIVEN all sample files WHEN each is rendered THEN it looks as pydicom and Pillow make it look."""
    failed, counts = [], Counter[str]()
    files = sample_files()
    for path in files:
        try:
            counts[outcome(path)] += 1
        except AssertionError as error:
            failed.append(f"{path.name}: {str(error).splitlines()[0]}")
    summary = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
    print(f"imaging: {len(files)} sample files: {summary}, {len(failed)} differ")

    assert not failed, "\n".join(failed)
    assert counts["compared"] >= 166
    assert counts["placeholder"] >= 72
    assert counts["cannot decode"] >= 23
