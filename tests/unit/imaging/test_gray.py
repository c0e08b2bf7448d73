"""Modality LUT, VOI LUT and windows against the formulae of PS3.3 C.11.1 and C.11.2."""

from collections.abc import Callable
from math import exp
from typing import Any

import numpy as np
import pytest

from imaging import Window, window_of
from tests.support.images import image, item, shown

RAMP = np.arange(-128, 128, dtype="i2").reshape(16, 16)


def linear(x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.2.1, word for word."""
    if x <= c - 0.5 - (w - 1) / 2:
        return 0.0
    if x > c - 0.5 + (w - 1) / 2:
        return 1.0
    return (x - (c - 0.5)) / (w - 1) + 0.5


def linear_exact(x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.3.2."""
    if x <= c - w / 2:
        return 0.0
    if x > c + w / 2:
        return 1.0
    return (x - c) / w + 0.5


def sigmoid(x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.3.1."""
    return 1 / (1 + exp(-4 * (x - c) / w))


@pytest.mark.parametrize(
    ("function", "formula"),
    [("LINEAR", linear), ("LINEAR_EXACT", linear_exact), ("SIGMOID", sigmoid), (None, linear)],
)
@pytest.mark.parametrize(("center", "width"), [(10, 80), (-40.5, 33.5), (0, 1), (0.5, 2)])
def test_a_window_follows_the_standard(
    function: str | None, formula: Callable[[float, float, float], float], center: float, width: float
) -> None:
    # GIVEN signed pixels and a window in the file
    attributes: dict[str, Any] = {"WindowCenter": center, "WindowWidth": width}
    if function:
        attributes["VOILUTFunction"] = function
    # WHEN the frame is rendered
    gray = shown(image(RAMP, **attributes))
    # THEN every level is the formula's
    expected = [round(255 * formula(float(x), center, width)) for x in RAMP.ravel()]
    assert np.abs(gray.ravel().astype(int) - expected).max() <= 1


def test_the_first_of_several_windows_is_taken() -> None:
    dataset = image(RAMP, WindowCenter=[10, 500], WindowWidth=[80, 9])
    assert window_of(dataset) == Window(10, 80, "LINEAR")
    assert (shown(dataset) == shown(image(RAMP, WindowCenter=10, WindowWidth=80))).all()


@pytest.mark.parametrize("width", [0, -5, None])
def test_an_unusable_window_gives_way_to_the_full_range(width: float | None) -> None:
    dataset = image(RAMP, WindowCenter=10, WindowWidth=width)
    assert window_of(dataset) is None
    assert (shown(dataset) == np.arange(256).reshape(16, 16)).all()


def test_a_linear_window_below_one_is_read_as_exact() -> None:
    pixels = np.linspace(0, 1, 64, dtype="f4").reshape(8, 8)
    gray = shown(image(pixels, WindowCenter=0.5, WindowWidth=0.5))
    expected = [round(255 * linear_exact(float(x), 0.5, 0.5)) for x in pixels.ravel()]
    assert np.abs(gray.ravel().astype(int) - expected).max() <= 1


def test_rescale_comes_before_the_window() -> None:
    # GIVEN stored values 0..255 that mean -1024 + 4 x
    stored = np.arange(256, dtype="u2").reshape(16, 16)
    gray = shown(image(stored, RescaleSlope=4, RescaleIntercept=-1024, WindowCenter=-500, WindowWidth=400))
    expected = [round(255 * linear(4.0 * x - 1024, -500, 400)) for x in range(256)]
    assert np.abs(gray.ravel().astype(int) - expected).max() <= 1


def test_a_negative_slope_turns_light_to_dark() -> None:
    stored = np.arange(256, dtype="u2").reshape(16, 16)
    assert (shown(image(stored, RescaleSlope=-1, RescaleIntercept=0)).ravel() == np.arange(255, -1, -1)).all()


def test_monochrome1_is_inverted() -> None:
    dark = shown(image(RAMP, WindowCenter=10, WindowWidth=80))
    light = shown(image(RAMP, WindowCenter=10, WindowWidth=80, PhotometricInterpretation="MONOCHROME1"))
    assert (light == 255 - dark).all()
    assert light[0, 0] == 255


@pytest.mark.parametrize("limit", [None, -1990])
def test_padding_does_not_stretch_the_range(limit: int | None) -> None:
    # GIVEN an image of 100..355 within padding of -2000 (up to -1990)
    pixels = np.full((18, 16), -2000, dtype="i2")
    pixels[1:17] = np.arange(100, 356).reshape(16, 16)
    attributes: dict[str, Any] = {"PixelPaddingValue": -2000}
    if limit is not None:
        pixels[17, 5] = -1995
        attributes["PixelPaddingRangeLimit"] = limit
    # WHEN it is shown without a window THEN the image alone spans black to white, and padding is black
    gray = shown(image(pixels, **attributes))
    assert (gray[1:17].ravel() == np.arange(256)).all()
    assert (gray[0] == 0).all()
    assert (gray[17] == 0).all()


def test_a_constant_image_is_black_not_an_error() -> None:
    assert (shown(image(np.full((4, 4), 77, dtype="u1"))) == 0).all()


def test_modality_lut_sequence() -> None:
    # GIVEN a LUT that maps 10, 11, 12 to 0, 1000, 4000, and values beyond its ends
    lut = item(LUTDescriptor=[3, 10, 16], ModalityLUTType="US", LUTData=[0, 16448, 65535])
    lut["LUTData"].VR = "US"
    stored = np.array([[0, 10, 11, 12, 200]], dtype="u1")
    gray = shown(image(stored, ModalityLUTSequence=[lut]))
    assert gray.tolist() == [[0, 0, 64, 255, 255]]


@pytest.mark.parametrize("data", [[0, 64, 255], b"\x00\x00\x40\x00\xff\x00"])
def test_voi_lut_sequence_wins_over_the_window(data: list[int] | bytes) -> None:
    lut = item(LUTDescriptor=[3, 10, 8], LUTData=data)
    lut["LUTData"].VR = "OW" if isinstance(data, bytes) else "US"
    stored = np.array([[0, 10, 11, 12, 200]], dtype="u1")
    gray = shown(image(stored, VOILUTSequence=[lut], WindowCenter=1, WindowWidth=1))
    assert gray.tolist() == [[0, 0, 64, 255, 255]]


def test_real_valued_pixels_and_what_is_not_a_number() -> None:
    pixels = np.array([[-1.5, 0.0, 1.5], [np.nan, np.inf, -np.inf]], dtype="f4")
    assert shown(image(pixels)).tolist() == [[0, 128, 255], [0, 255, 0]]


def test_double_float_pixels() -> None:
    assert shown(image(np.array([[1e-9, 2e-9, 3e-9]], dtype="f8"))).tolist() == [[0, 128, 255]]


def test_thirty_two_bit_pixels_of_a_wide_range() -> None:
    pixels = np.array([[0, 2**31, 2**32 - 1]], dtype="u4")
    assert shown(image(pixels)).tolist() == [[0, 128, 255]]


def test_unused_high_bits_are_not_pixels() -> None:
    # GIVEN 12 stored bits under an overlay bit in the high nibble (retired, PS3.5 8.1.2)
    pixels = np.array([[0, 100, 200 | 0x8000]], dtype="u2")
    assert shown(image(pixels, BitsStored=12, HighBit=11)).tolist() == [[0, 128, 255]]


def test_functional_groups_of_the_frame_apply() -> None:
    # GIVEN an enhanced image whose frames have their own rescale and window, and one shared
    frames = np.stack([np.arange(256, dtype="u2").reshape(16, 16)] * 3)

    def groups(intercept: float, center: float) -> Any:
        return item(
            PixelValueTransformationSequence=[item(RescaleSlope=2, RescaleIntercept=intercept)],
            FrameVOILUTSequence=[item(WindowCenter=center, WindowWidth=100)],
        )

    per_frame = [groups(0, 50), groups(-1000, -800), item()]
    dataset = image(
        frames,
        NumberOfFrames=3,
        SharedFunctionalGroupsSequence=[groups(500, 700)],
        PerFrameFunctionalGroupsSequence=per_frame,
    )
    for frame, (intercept, center) in enumerate([(0, 50), (-1000, -800), (500, 700)], start=1):
        # WHEN each frame is shown THEN its own values are used, the shared ones where it has none
        expected = [round(255 * linear(2.0 * x + intercept, center, 100)) for x in range(256)]
        assert np.abs(shown(dataset, frame=frame).ravel().astype(int) - expected).max() <= 1
        assert window_of(dataset, frame) == Window(center, 100, "LINEAR")
        assert window_of(dataset.to_json_dict(), frame) == Window(center, 100, "LINEAR")
