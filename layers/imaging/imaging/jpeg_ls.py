"""Compress an uncompressed frame without loss: JPEG-LS (ISO 14495-1, PS3.5 A.4.3)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from imaging.errors import CannotDecode
from imaging.header import BITS_ALLOCATED, COLUMNS, ROWS, SAMPLES_PER_PIXEL, number

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

JPEG_LS_LOSSLESS = "1.2.840.10008.1.2.4.80"
_BITS_STORED, _PIXEL_REPRESENTATION, _PLANAR_CONFIGURATION = "00280101", "00280103", "00280006"
_SMALLEST_PRECISION = 2
# CharLS's names: planes one after the other, or all samples of a pixel together.
_BY_PLANE, _BY_PIXEL = 0, 2


def compress_lossless(frame: bytes, header: "Dataset | Mapping[str, Any]") -> bytes:
    """Return a frame as JPEG-LS; decoded it is the same, bit for bit, also those above Bits Stored.

    Parameters
    ----------
    frame
        Uncompressed pixels, little endian.
    header
        The instance's attributes: a DICOM JSON object or a pydicom dataset.

    Raises
    ------
    CannotDecode
        The frame is not of 8 or 16 bits, or not as long as the metadata say.
    """
    import jpeg_ls
    import numpy as np

    rows, columns = (int(number(header, tag) or 0) for tag in (ROWS, COLUMNS))
    samples, allocated = int(number(header, SAMPLES_PER_PIXEL) or 1), int(number(header, BITS_ALLOCATED) or 0)
    size = rows * columns * samples * (allocated // 8)
    # A value of odd length is padded by one byte (PS3.5 §8.1.1).
    if allocated not in (8, 16) or samples not in (1, 3) or not 0 < size <= len(frame) <= size + size % 2:
        raise CannotDecode("the frame cannot be compressed")
    frame = frame[:size]
    largest = int(np.frombuffer(frame, f"<u{allocated // 8}").max())
    # Signed samples fill the word with their sign, and some files keep overlays above Bits Stored: a precision of
    # Bits Stored would cut both off.
    stored = int(number(header, _BITS_STORED) or allocated)
    precision = max(stored, _SMALLEST_PRECISION)
    if number(header, _PIXEL_REPRESENTATION) or not precision <= allocated or largest >> precision:
        precision = allocated
    mode = None
    if samples > 1:
        mode = _BY_PLANE if number(header, _PLANAR_CONFIGURATION) == 1 else _BY_PIXEL
    return bytes(jpeg_ls.encode_buffer(frame, rows, columns, samples, precision, interleave_mode=mode))


def compress_file(content: bytes) -> bytes:
    """Return a DICOM file with its uncompressed pixel data as JPEG-LS, everything else as it is.

    The instance stays the same one: no pixel changes, so it keeps its UID (PS3.5 §8.2, PS3.3 C.12.1.1).

    Parameters
    ----------
    content
        A Part 10 file.

    Raises
    ------
    CannotDecode
        It is no such file, has no uncompressed pixel data, or they cannot be compressed.
    """
    from io import BytesIO

    from pydicom import dcmread
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    from imaging.failures import broken_input_is_cannot_decode
    from imaging.stored_frames import StoredFrames

    frames = StoredFrames(BytesIO(content))
    with broken_input_is_cannot_decode("reading the file"):
        dataset = dcmread(BytesIO(content))
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated or "PixelData" not in dataset:
            raise CannotDecode("the pixel data are compressed already")
        made = [compress_lossless(frames.read(number).data, dataset) for number in range(1, frames.count + 1)]
        dataset.PixelData = encapsulate(made)
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = UID(JPEG_LS_LOSSLESS)
        written = BytesIO()
        dataset.save_as(written, enforce_file_format=True, implicit_vr=False, little_endian=True)
        return written.getvalue()
