"""Decode one frame, and only that one, to an array of stored pixel values or RGB."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import convert_color_space
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import UID

from imaging import gdcm_plugin
from imaging.codestream import FrameHeader, read_frame_header
from imaging.errors import CannotDecode, TooLarge
from imaging.failures import broken_input_is_cannot_decode
from imaging.header import frame_bytes
from imaging.source import PixelSource

_NATIVE = frozenset(("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"))
_RLE = "1.2.840.10008.1.2.5"
_JPEG_BASELINE, _JPEG_EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
# Padding may follow the marker
_END_OF_IMAGE, _END_WITHIN = b"\xff\xd9", 16
# One decoder a syntax: no second one gets to try what the first found broken. GDCM, which aborts on some broken
# frames, runs apart, and only where nothing else without the GPL decodes. pylibjpeg-rle is twice as fast as pydicom's
# own RLE decoder (70 against 130 ms for 5 megapixels), but panics past all `except` clauses on overlong segments.
_PLUGINS = {
    _JPEG_BASELINE: "pillow",
    _JPEG_EXTENDED: "pillow",
    "1.2.840.10008.1.2.4.57": gdcm_plugin.LABEL,
    "1.2.840.10008.1.2.4.70": gdcm_plugin.LABEL,
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pylibjpeg",
    "1.2.840.10008.1.2.4.91": "pylibjpeg",
    "1.2.840.10008.1.2.4.201": "pylibjpeg",
    "1.2.840.10008.1.2.4.202": "pylibjpeg",
    "1.2.840.10008.1.2.4.203": "pylibjpeg",
    _RLE: "pydicom",
}


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """One frame: ``pixels`` is (rows, columns) of stored values or palette indices, or (rows, columns, 3) of RGB.

    ``bits`` is how many bits of a sample are in use, None for real-valued pixels.
    """

    pixels: NDArray[Any]
    photometric: str
    bits: int | None


def decode_frame(source: PixelSource, index: int, *, max_frame_bytes: int) -> DecodedFrame:
    """Decode the frame at an index, counted from 0, reading only its own bytes.

    Parameters
    ----------
    source
        The image; its stream is left where it was.
    index
        The frame's index, which the caller has checked against NumberOfFrames; ignored where the source is one frame.
    max_frame_bytes
        Ceiling of the decoded frame.

    Raises
    ------
    CannotDecode
        No decoder for the transfer syntax, or broken pixels.
    TooLarge
        The frame is above the ceiling; nothing was decoded.
    """
    syntax = str(source.transfer_syntax)
    if syntax not in _NATIVE and syntax not in _PLUGINS:
        raise CannotDecode(f"no decoder for transfer syntax {syntax}")
    with broken_input_is_cannot_decode(f"decoding transfer syntax {syntax}"):
        if frame_bytes(source.header) > max_frame_bytes:
            raise TooLarge(f"one frame takes more than {max_frame_bytes} bytes")
        options = _options(source)
        if source.is_one_frame:
            index = 0
            options["number_of_frames"] = 1
        if syntax in _NATIVE:
            return _decode_native(source, index, options)
        return _decode_encapsulated(_read_frame(source, index, options), source.transfer_syntax, options)


def _read_frame(source: PixelSource, index: int, options: dict[str, Any]) -> bytes:
    # Offsets are no business of the decoder: it gets the one frame
    offsets = options.pop("extended_offsets", None)
    if source.is_one_frame:
        return source.stream.read()
    return get_frame(
        source.stream,
        index,
        extended_offsets=offsets,
        number_of_frames=options["number_of_frames"],
    )


def _options(source: PixelSource) -> dict[str, Any]:
    options = as_pixel_options(source.header, pixel_keyword=source.keyword, pixel_vr=source.vr)
    options["photometric_interpretation"] = str(options["photometric_interpretation"]).strip()
    # Type 1 attributes that files forget; there is one sensible reading
    options.setdefault("pixel_representation", 0)
    options.setdefault("planar_configuration", 0)
    if options["planar_configuration"] is None:
        options["planar_configuration"] = 0
    options.setdefault("bits_stored", options["bits_allocated"])
    return options


def _decode_native(source: PixelSource, index: int, options: dict[str, Any]) -> DecodedFrame:
    if options["bits_allocated"] == 1:
        return _unpack_bits(source, index, options)
    claimed = options["photometric_interpretation"]
    if claimed in ("YBR_FULL_422", "YBR_PARTIAL_422"):
        whole = frame_bytes(source.header) * options["number_of_frames"]
        # Some writers say 4:2:2 and store every sample (PS3.3 C.7.6.3.1.2)
        is_subsampled = source.length is None or source.length < whole
        options["photometric_interpretation"] = "YBR_FULL_422" if is_subsampled else "YBR_FULL"
    pixels, properties = get_decoder(source.transfer_syntax).as_array(source.stream, index=index, raw=True, **options)
    photometric = "YBR_PARTIAL" if claimed.startswith("YBR_PARTIAL") else properties["photometric_interpretation"]
    return _as_rgb(pixels, str(photometric), properties)


def _unpack_bits(source: PixelSource, index: int, options: dict[str, Any]) -> DecodedFrame:
    # Frames of one-bit pixels follow each other without padding, so one may begin inside a byte (PS3.5 8.1.1)
    rows, columns = options["rows"], options["columns"]
    if options["samples_per_pixel"] != 1:
        raise CannotDecode("one-bit pixels of several samples")
    whole_bytes, offset = divmod(index * rows * columns, 8)
    start = source.stream.tell()
    source.stream.seek(start + whole_bytes)
    packed = source.stream.read((offset + rows * columns + 7) // 8)
    source.stream.seek(start)
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little")
    pixels = bits[offset : offset + rows * columns].reshape(rows, columns)
    return DecodedFrame(pixels, options["photometric_interpretation"], 1)


def _decode_encapsulated(frame: bytes, syntax: UID, options: dict[str, Any]) -> DecodedFrame:
    stated = None if syntax == _RLE else read_frame_header(frame)
    if stated is not None:
        _check_claims(stated, options)
        if syntax in (_JPEG_BASELINE, _JPEG_EXTENDED) and stated.precision != 8:
            raise CannotDecode(f"JPEG of {stated.precision} bits a sample")
    if syntax in _JPEG_LS and _END_OF_IMAGE not in frame[-_END_WITHIN:]:
        # CharLS searches a stream that was cut short for 5 to 16 s; with an end it rejects it at once
        frame += _END_OF_IMAGE
    options["number_of_frames"] = 1
    pixels, properties = get_decoder(syntax).as_array(
        encapsulate([frame], has_bot=False), index=0, raw=True, decoding_plugin=_PLUGINS[syntax], **options
    )
    photometric = str(properties["photometric_interpretation"])
    if syntax in (_JPEG_BASELINE, _JPEG_EXTENDED) and stated is not None and stated.has_adobe_marker:
        # libjpeg obeys Adobe's marker and has converted to RGB itself: converting again would spoil the colours
        photometric = "RGB" if photometric.startswith("YBR") else photometric
    return _as_rgb(pixels, photometric, properties)


def _check_claims(stated: FrameHeader, options: dict[str, Any]) -> None:
    claimed = (options["rows"], options["columns"], options["samples_per_pixel"])
    if (stated.rows, stated.columns, stated.components) != claimed:
        raise CannotDecode("the codestream's size is not that of Rows, Columns and SamplesPerPixel")


def _as_rgb(pixels: NDArray[Any], photometric: str, properties: dict[str, Any]) -> DecodedFrame:
    bits = None if pixels.dtype.kind == "f" else int(properties.get("bits_stored") or properties["bits_allocated"])
    if pixels.ndim == 3 and photometric.startswith("YBR"):
        if photometric == "YBR_PARTIAL":
            pixels = _stretch_partial(pixels)
        # YBR_ICT and YBR_RCT were undone by the JPEG 2000 decoder
        if photometric not in ("YBR_ICT", "YBR_RCT"):
            pixels = convert_color_space(pixels, "YBR_FULL", "RGB")
        photometric = "RGB"
    return DecodedFrame(pixels, photometric, bits)


def _stretch_partial(pixels: NDArray[Any]) -> NDArray[Any]:
    # Black is Y = 16, white 235, and CB and CR span 16 to 240 (PS3.3 C.7.6.3.1.2)
    full = (pixels.astype(np.float32) - (16, 128, 128)) * (255 / 219, 255 / 224, 255 / 224) + (0, 128, 128)
    eight: NDArray[np.uint8] = np.clip(np.rint(full), 0, 255).astype(np.uint8)
    return eight
