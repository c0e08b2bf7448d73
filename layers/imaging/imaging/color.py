"""From decoded colour samples or palette indices to 8-bit RGB."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

RGB = NDArray[np.uint8]
_CHANNELS = ("Red", "Green", "Blue")


def to_8_bit(samples: NDArray[Any], bits: int | None) -> RGB:
    """Return colour samples of any depth as 8 bits each.

    Parameters
    ----------
    samples
        Of shape (rows, columns, 3), unsigned.
    bits
        Bits of a sample in use.
    """
    if samples.dtype == np.uint8 and bits == 8:
        return samples
    depth = bits or 8 * samples.dtype.itemsize
    unsigned = samples if samples.dtype.kind == "u" else np.maximum(samples, 0)
    if depth > 8:
        shown: NDArray[Any] = unsigned >> (depth - 8)
    else:
        shown = unsigned.astype(np.float32) * (255 / (2**depth - 1))
    eight: RGB = np.minimum(shown, 255).astype(np.uint8)
    return eight


def is_supplemental(header: Dataset) -> bool:
    """Return whether a monochrome image colours its upper values by a palette (PS3.3 C.8.16.2.1.1.1)."""
    return header.get("PixelPresentation") in ("COLOR", "MIXED") and "RedPaletteColorLookupTableDescriptor" in header


def first_mapped(header: Dataset) -> int:
    """Return the lowest stored value the palette colours (PS3.3 C.7.6.3.1.5)."""
    return int(header.RedPaletteColorLookupTableDescriptor[1])


def apply_palette(stored: NDArray[Any], header: Dataset) -> RGB:
    """Return the palette's colour of each stored value (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6, C.7.9.2).

    Parameters
    ----------
    stored
        Palette indices, of shape (rows, columns).
    header
        The image with its palette, plain or segmented.
    """
    entries, first, depth = (int(each) for each in header.RedPaletteColorLookupTableDescriptor)
    entries = entries or 65536
    table = _table(header, entries, first)
    # 16-bit entries hold 8-bit colours in many files, whatever the descriptor says
    if table.dtype.itemsize == 2 and (depth > 8 or table.max() > 255):
        table = table >> 8 if table.max() > 255 else table
    index = np.clip(stored.astype(np.int64) - first, 0, len(table) - 1)
    return table.astype(np.uint8)[index]


def _table(header: Dataset, entries: int, first: int) -> NDArray[Any]:
    """Return the palette, of shape (entries, 3)."""
    if "SegmentedRedPaletteColorLookupTableData" in header and "RedPaletteColorLookupTableData" not in header:
        # pydicom expands segments; it is asked for every input once
        without_pixels = Dataset(header)
        without_pixels.file_meta = header.file_meta
        without_pixels.pop("PixelPresentation", None)
        every_input = np.arange(first, first + entries, dtype=np.int32)
        return apply_color_lut(every_input, without_pixels)[..., :3]
    order = "<" if header.file_meta.TransferSyntaxUID.is_little_endian else ">"
    columns = []
    for channel in _CHANNELS:
        raw = header[f"{channel}PaletteColorLookupTableData"].value
        dtype = f"{order}u2" if len(raw) >= 2 * entries else "u1"
        columns.append(np.frombuffer(raw, dtype, count=entries))
    return np.stack(columns, axis=-1)
