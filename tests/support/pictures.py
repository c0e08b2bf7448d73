"""A rendering that shares no code with the package: pydicom on the whole pixel array, then Pillow."""

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.data.data_manager import DATA_ROOT, external_data_sources
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut

from dicom_service.native_syntaxes import DEFLATED
from dicom_service.part10 import BytesSource, read_header

Array = NDArray[Any]


def sample_files() -> list[Path]:
    """Return every file that pydicom bundles for its tests and every file of the pydicom-data package."""
    roots = [Path(DATA_ROOT) / "test_files", Path(DATA_ROOT) / "charset_files"]
    roots.append(Path(external_data_sources()["pydicom-data"].data_path))
    return sorted(path for root in roots for path in root.rglob("*") if path.is_file())


def one_of_each_kind(paths: list[Path]) -> list[Path]:
    """Return the first file of each kind: transfer syntax, photometric interpretation, bits, samples, frames."""
    kinds: dict[tuple[str, ...], Path] = {}
    for path in paths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                header = pydicom.dcmread(path, stop_before_pixels=True)
            except (InvalidDicomError, AttributeError):
                kinds.setdefault((), path)
                continue
            names = ("PhotometricInterpretation", "BitsAllocated", "SamplesPerPixel")
            kind = [header.file_meta.get("TransferSyntaxUID"), *(header.get(name) for name in names)]
            kind.append(str(header.get("NumberOfFrames") or 1) != "1")
        kinds.setdefault(tuple(map(str, kind)), path)
    return list(kinds.values())


def sample(name: str) -> Path:
    """Return the one sample file of that name."""
    return next(path for path in sample_files() if path.name == name)


def reference_picture(dataset: Dataset) -> Image.Image:
    """Return the middle frame at its own size, pixels made square by shrinking."""
    frames = int(dataset.get("NumberOfFrames") or 1)
    index = (frames - 1) // 2
    whole = dataset.pixel_array
    pixels = whole[index] if frames > 1 else whole
    shown = Image.fromarray(_displayed(pixels, _flattened(dataset, index)))
    vertical, horizontal = _pixel_size(_flattened(dataset, index))
    if vertical > horizontal:
        return _resized(shown, round(shown.width * horizontal / vertical), shown.height)
    return _resized(shown, shown.width, round(shown.height * vertical / horizontal))


def scaled(picture: Image.Image, size: int) -> Image.Image:
    """Return the picture with its longest side shrunk to a size."""
    factor = min(1.0, size / max(picture.size))
    return _resized(picture, round(picture.width * factor), round(picture.height * factor))


def _resized(picture: Image.Image, width: int, height: int) -> Image.Image:
    if picture.size == (width, height):
        return picture
    return picture.resize((max(1, width), max(1, height)), Image.Resampling.LANCZOS)


def _flattened(dataset: Dataset, index: int) -> Dataset:
    """Return the dataset with the attributes of the frame's functional groups at its top level."""
    flat = copy.copy(dataset)
    shared = dataset.get("SharedFunctionalGroupsSequence") or [Dataset()]
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    for groups in [shared[0], per_frame[index] if per_frame else Dataset()]:
        for macro in ("PixelValueTransformationSequence", "FrameVOILUTSequence", "PixelMeasuresSequence"):
            for item in groups.get(macro) or []:
                flat.update(item)
    return flat


def _pixel_size(dataset: Dataset) -> tuple[float, float]:
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio"):
        pair = dataset.get(keyword)
        if pair and min(pair) > 0:
            return float(pair[0]), float(pair[1])
    return 1.0, 1.0


def _displayed(pixels: Array, dataset: Dataset) -> Array:
    interpretation = dataset.PhotometricInterpretation
    if interpretation == "PALETTE COLOR":
        return _palette(pixels, dataset)
    if not interpretation.startswith("MONOCHROME"):
        top = 2.0 ** (8 * pixels.dtype.itemsize) - 1
        return np.rint(pixels / top * 255).astype(np.uint8)
    level = _level(pixels, dataset)
    gray = np.rint((1 - level if interpretation == "MONOCHROME1" else level) * 255).astype(np.uint8)
    if "PixelPresentation" in dataset and "RedPaletteColorLookupTableDescriptor" in dataset:
        # pydicom refuses a supplemental palette: ask it for the colours as if there were nothing else
        plain = copy.copy(dataset)
        del plain.PixelPresentation
        is_colored = pixels >= dataset.RedPaletteColorLookupTableDescriptor[1]
        return np.asarray(np.where(is_colored[..., None], _palette(pixels, plain), gray[..., None]))
    return np.asarray(gray)


def _palette(pixels: Array, dataset: Dataset) -> Array:
    if not dataset.file_meta.TransferSyntaxUID.is_little_endian and "RedPaletteColorLookupTableData" in dataset:
        # pydicom reads the entries in the machine's byte order, whatever the file's
        dataset = copy.deepcopy(dataset)
        for channel in ("Red", "Green", "Blue"):
            element = dataset[f"{channel}PaletteColorLookupTableData"]
            element.value = np.frombuffer(element.value, "u2").byteswap().tobytes()
    colors = apply_color_lut(pixels, dataset)
    return (colors >> 8 if colors.max() > 255 else colors).astype(np.uint8)


def _level(pixels: Array, dataset: Dataset) -> Array:
    """Return each pixel's brightness from 0 to 1."""
    if dataset.BitsAllocated == 1:
        return np.asarray(pixels, dtype=float)
    values = apply_modality_lut(pixels, dataset)
    if dataset.get("VOILUTSequence"):
        top = 2 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
        return np.asarray(apply_voi_lut(values.astype(np.int64), dataset) / top)
    if dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
        # Two far values show which output range pydicom chose
        extended = np.append(values.astype(float).ravel(), [-1e9, 1e9])
        windowed = apply_voi_lut(extended, dataset)
        low, high = windowed[-2:]
        return np.asarray((windowed[:-2] - low) / (high - low)).reshape(values.shape)
    padding = dataset.get("PixelPaddingValue")
    counted = values if padding is None else values[pixels != padding]
    low, high = float(counted.min()), float(counted.max())
    if high == low:
        return np.zeros(values.shape)
    return np.clip((values.astype(float) - low) / (high - low), 0, 1)


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    """Return the mean absolute difference of two pictures of one size, in levels of 255."""
    return float(np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean())


def read(path: Path) -> Dataset:
    """Return the whole dataset of a sample file."""
    return pydicom.dcmread(path)


JPEG_TOLERANCE = 4.0


def reference_of(path: Path) -> Image.Image | None:
    """Return pydicom's picture, or None where pydicom cannot read the file or decode its pixels."""
    with warnings.catch_warnings():
        # The samples are odd on purpose and pydicom says so
        warnings.simplefilter("ignore")
        try:
            return reference_picture(read(path))
        except (InvalidDicomError, AttributeError, ValueError, RuntimeError):
            return None


def with_own_uid(data: bytes, number: int) -> tuple[bytes, str]:
    """The file under a SOPInstanceUID of its own: several samples share one, and a PACS keeps the first."""
    header = read_header(BytesSource(data))
    uid = header.sop_instance_uid
    own = f"{uid[:-4]}{number + 1000}"
    if len(uid) < 20 or header.transfer_syntax_uid == DEFLATED:
        return data, uid
    return data.replace(uid.encode(), own.encode()), own
