"""Colour: photometric interpretations, palettes, planes, depths and JPEG markers."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import JPEGBaseline8Bit

from tests.support.images import image, shown

COLORS = np.array(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[255, 255, 255], [0, 0, 0], [200, 100, 50]]], dtype="u1"
).repeat(2, axis=1)


def difference(one: NDArray[Any], other: NDArray[Any]) -> int:
    """Return the largest difference of two pictures, in levels."""
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def test_planes_and_pixels_give_the_same_picture() -> None:
    by_plane = image(COLORS, PlanarConfiguration=1)
    by_plane.PixelData = COLORS.transpose(2, 0, 1).tobytes()
    assert (shown(by_plane) == COLORS).all()
    assert (shown(image(COLORS)) == COLORS).all()


def test_sixteen_bits_a_sample_are_scaled() -> None:
    assert difference(shown(image(COLORS.astype("u2") * 257)), COLORS) <= 1
    assert difference(shown(image(COLORS.astype("u2") * 16, BitsStored=12, HighBit=11)), COLORS) <= 1


def test_ybr_full() -> None:
    stored = convert_color_space(COLORS, "RGB", "YBR_FULL")
    assert difference(shown(image(stored, PhotometricInterpretation="YBR_FULL")), COLORS) <= 2


def subsampled(ybr: NDArray[Any]) -> bytes:
    """Return 4:2:2 samples: Y1 Y2 CB CR for each two pixels (PS3.3 C.7.6.3.1.2)."""
    pairs = ybr.reshape(-1, 2, 3)
    return np.stack([pairs[:, 0, 0], pairs[:, 1, 0], pairs[:, 0, 1], pairs[:, 0, 2]], axis=1).astype("u1").tobytes()


def test_ybr_full_422() -> None:
    dataset = image(COLORS, PhotometricInterpretation="YBR_FULL_422")
    dataset.PixelData = subsampled(convert_color_space(COLORS, "RGB", "YBR_FULL"))
    assert difference(shown(dataset), COLORS) <= 2


def test_ybr_full_422_that_was_stored_in_full() -> None:
    stored = convert_color_space(COLORS, "RGB", "YBR_FULL")
    assert difference(shown(image(stored, PhotometricInterpretation="YBR_FULL_422")), COLORS) <= 2


def test_ybr_partial_422() -> None:
    # GIVEN the equations of the retired YBR_PARTIAL_422 (PS3.3 2004 C.7.6.3.1.2)
    matrix = np.array([[0.2568, 0.5041, 0.0979], [-0.1482, -0.2910, 0.4392], [0.4392, -0.3678, -0.0714]])
    stored = np.rint(COLORS @ matrix.T + (16, 128, 128))
    dataset = image(COLORS, PhotometricInterpretation="YBR_PARTIAL_422")
    dataset.PixelData = subsampled(stored)
    assert difference(shown(dataset), COLORS) <= 3


@pytest.mark.parametrize("entry_bits", [8, 16])
def test_palette(entry_bits: int) -> None:
    # GIVEN a palette for the values 10..13, in 8- or 16-bit entries
    colors = np.array([[1, 2, 3], [250, 0, 9], [0, 128, 255], [90, 80, 70]])
    entries = colors * 257 if entry_bits == 16 else colors
    palette: dict[str, Any] = {}
    for channel, column in zip(("Red", "Green", "Blue"), entries.T, strict=True):
        palette[f"{channel}PaletteColorLookupTableDescriptor"] = [4, 10, entry_bits]
        palette[f"{channel}PaletteColorLookupTableData"] = column.astype(f"u{entry_bits // 8}").tobytes()
    stored = np.array([[0, 10, 11], [12, 13, 200]], dtype="u1")
    # WHEN shown THEN values before and past the palette take its first and last colour
    picture = shown(image(stored, PhotometricInterpretation="PALETTE COLOR", **palette))
    assert picture.reshape(-1, 3).tolist() == colors[[0, 0, 1, 2, 3, 3]].tolist()


def jpeg(*, adobe_transform: int | None, jfif: bool) -> bytes:
    """Return a smooth YCbCr JPEG, with or without each of the markers that speak of colour."""
    buffer = BytesIO()
    Image.fromarray(smooth()).save(buffer, "JPEG", quality=95, subsampling=0)
    stream = buffer.getvalue()
    app0 = 2 + 2 + int.from_bytes(stream[4:6], "big")
    markers = stream[2:app0] if jfif else b""
    if adobe_transform is not None:
        markers += b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([adobe_transform])
    return stream[:2] + markers + stream[app0:]


def smooth() -> NDArray[Any]:
    """Return a picture that survives JPEG."""
    rows, columns = np.mgrid[0:32, 0:32]
    return np.stack([rows * 8, columns * 8, np.full_like(rows, 40)], axis=-1).astype("u1")


@pytest.mark.parametrize("interpretation", ["YBR_FULL_422", "YBR_FULL"])
@pytest.mark.parametrize("adobe_transform", [None, 1])
@pytest.mark.parametrize("jfif", [True, False])
def test_jpeg_is_converted_once_whatever_its_markers(
    interpretation: str, adobe_transform: int | None, jfif: bool
) -> None:
    # GIVEN one YCbCr JPEG that says what it is in different ways
    frame = jpeg(adobe_transform=adobe_transform, jfif=jfif)
    dataset = image(smooth(), PhotometricInterpretation=interpretation)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    # WHEN shown THEN its colours are the original's
    assert float(np.abs(shown(dataset).astype(int) - smooth()).mean()) <= 2
