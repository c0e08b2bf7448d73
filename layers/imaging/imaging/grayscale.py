"""From stored pixel values to gray: modality LUT, then VOI LUT or window (PS3.3 C.11.1, C.11.2; PS3.4 N.2)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from imaging.header import (
    PIXEL_VALUE_TRANSFORMATION,
    Window,
    first,
    functional_group,
    number,
    values,
    window_of,
)

_RESCALE_INTERCEPT, _RESCALE_SLOPE = "00281052", "00281053"
_MODALITY_LUT_SEQUENCE, _VOI_LUT_SEQUENCE = "00283000", "00283010"
_LUT_DESCRIPTOR, _LUT_DATA = "00283002", "00283006"
_PIXEL_PADDING_VALUE, _PIXEL_PADDING_RANGE_LIMIT = "00280120", "00280121"
# Every value of 16 bits: below this many it is cheaper to transform each possible value once than each pixel
_TABLE_SPAN = 65536

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def to_gray(
    stored: NDArray[Any], header: Dataset, *, frame: int, bits: int | None, window: Window | None = None
) -> NDArray[np.uint8]:
    """Return a monochrome frame as 8-bit gray by the file's own LUTs or window, before its polarity is heeded.

    Without either, the frame's darkest to brightest value, padding left aside, spans black to white.

    Parameters
    ----------
    stored
        Stored values, of shape (rows, columns), integer or real.
    header
        The image's attributes.
    frame
        The frame's number, from 1, to find its functional groups.
    bits
        Bits of a sample in use, None for real values.
    window
        A VOI window instead of the file's own LUT or window.
    """
    if stored.dtype.kind in "iu":
        low, high = int(stored.min()), int(stored.max())
        if high - low < _TABLE_SPAN:
            index = stored.astype(np.int64 if stored.dtype.itemsize > 2 else np.int32) - low
            present = np.bincount(index.ravel(), minlength=high - low + 1) > 0
            table = np.arange(low, high + 1, dtype=np.float64)
            levels = _curve(table, present, header, frame, bits, window)
            return np.asarray(levels[index])
    flat = stored.ravel().astype(np.float64)
    return _curve(flat, np.isfinite(flat), header, frame, bits, window).reshape(stored.shape)


def _curve(
    stored: Floats, present: Mask, header: Dataset, frame: int, bits: int | None, asked: Window | None
) -> NDArray[np.uint8]:
    """Return the gray level of each value; ``present`` marks those that occur in the frame."""
    modality = _apply_modality(stored, header, frame)
    voi = next((item for item in values(header, _VOI_LUT_SEQUENCE) if first(item, _LUT_DATA) is not None), None)
    window = asked or window_of(header, frame)
    if voi is not None and asked is None:
        table, depth = lut_table(voi, header, signed=bool((modality < 0).any()))
        level = look_up(modality, *table) / (2**depth - 1)
    elif window is not None:
        level = apply_window(modality, window)
    elif bits == 1:
        level = stored
    else:
        level = _full_range(modality, present & ~_is_padding(stored, header, bits), present)
    gray: NDArray[np.uint8] = np.rint(np.clip(np.nan_to_num(level), 0.0, 1.0) * 255).astype(np.uint8)
    return gray


def _apply_modality(stored: Floats, header: Dataset, frame: int) -> Floats:
    item = first(header, _MODALITY_LUT_SEQUENCE)
    if item is not None:
        table, _ = lut_table(item, header, signed=bool((stored < 0).any()))
        return look_up(stored, *table)
    source = functional_group(header, PIXEL_VALUE_TRANSFORMATION, frame) or header
    slope, intercept = number(source, _RESCALE_SLOPE), number(source, _RESCALE_INTERCEPT)
    if slope is None or intercept is None:
        return stored
    return stored * slope + intercept


def lut_table(item: Dataset, header: Dataset, *, signed: bool) -> tuple[tuple[Floats, int], int]:
    """Return a LUT's entries, the first input value they map, and the bits of an entry (PS3.3 C.11.1.1, C.11.2.1.1).

    Parameters
    ----------
    item
        The item of a Modality or VOI LUT Sequence.
    header
        The image, whose byte order the entries share.
    signed
        Whether the LUT's input has negative values, and its first mapped value may too.

    Raises
    ------
    ValueError
        The descriptor or the data are not those of a LUT.
    """
    entries, first_mapped, depth = (int(each) for each in values(item, _LUT_DESCRIPTOR))
    entries = entries or 65536
    # The descriptor's VR is ambiguous (US or SS) and follows PixelRepresentation, not the LUT's input
    if signed and first_mapped > 32767:
        first_mapped -= 65536
    raw = item[int(_LUT_DATA, 16)].value
    if isinstance(raw, bytes):
        order = "<" if header.file_meta.TransferSyntaxUID.is_little_endian else ">"
        dtype = f"{order}u2" if len(raw) >= 2 * entries else "u1"
        table = np.frombuffer(raw, dtype, count=entries)
    else:
        table = np.atleast_1d(np.asarray(raw))[:entries]
    if not table.size or not 1 <= depth <= 16:
        raise ValueError("not a lookup table")
    return (table.astype(np.float64), first_mapped), depth


def look_up(inputs: Floats, table: Floats, first_mapped: int) -> Floats:
    """Return the table's entry for each input; inputs before or past the table take its first or last entry."""
    index = np.clip(np.nan_to_num(inputs) - first_mapped, 0, table.size - 1).astype(np.intp)
    return np.asarray(table[index], dtype=np.float64)


def apply_window(inputs: Floats, window: Window) -> Floats:
    """Return each input's level from 0 to 1 by a VOI window (PS3.3 C.11.2.1.2.1 and C.11.2.1.3)."""
    center, width, function = window
    if function == "SIGMOID":
        exponent = np.clip(-4.0 * (inputs - center) / width, -700.0, 700.0)
        return np.asarray(1.0 / (1.0 + np.exp(exponent)), dtype=np.float64)
    if function == "LINEAR_EXACT":
        return np.clip((inputs - center) / width + 0.5, 0.0, 1.0)
    center -= 0.5
    if width == 1:
        return (inputs > center).astype(np.float64)
    return np.clip((inputs - center) / (width - 1) + 0.5, 0.0, 1.0)


def _full_range(modality: Floats, counted: Mask, present: Mask) -> Floats:
    seen = modality[counted if counted.any() else present]
    if not seen.size:
        return np.zeros_like(modality)
    low, high = float(seen.min()), float(seen.max())
    if high <= low:
        return np.zeros_like(modality)
    return (modality - low) / (high - low)


def _is_padding(stored: Floats, header: Dataset, bits: int | None) -> Mask:
    """Return which stored values are PixelPaddingValue or within its range (PS3.3 C.7.5.1.1.2)."""
    padding = number(header, _PIXEL_PADDING_VALUE)
    if padding is None or bits is None:
        return np.zeros(stored.shape, dtype=bool)
    limit = number(header, _PIXEL_PADDING_RANGE_LIMIT)
    ends = sorted((padding, padding if limit is None else limit))
    mask = (stored >= ends[0]) & (stored <= ends[1])
    if header.get("PixelRepresentation") == 1:
        # Written as US although the pixels are signed: 63536 stands for -2000
        mask |= (stored >= ends[0] - 65536) & (stored <= ends[1] - 65536)
    return mask
