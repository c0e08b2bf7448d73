"""A pydicom decoding plugin that runs GDCM's own program on one lossless JPEG frame.

GDCM aborts the whole process on some broken frames; here that costs one picture, not the caller. Its Python binding is
not used: the binding links GDCM's network library and, through it, socket++, which is under the GPL. `gdcmconv` links
neither, and the layer carries neither (decision 0024).
"""

import importlib.util
import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import DecodeRunner, JPEGLosslessDecoder, JPEGLosslessSV1Decoder
from pydicom.uid import UID, JPEGLossless, JPEGLosslessSV1, SecondaryCaptureImageStorage

LABEL = "gdcm-process"
DECODER_DEPENDENCIES = {JPEGLossless: ("python-gdcm",), JPEGLosslessSV1: ("python-gdcm",)}
_TIMEOUT_SECONDS = 20
_UID = UID("2.25.1")


def is_available(uid: str) -> bool:
    """Return to pydicom whether the plugin decodes a transfer syntax."""
    return uid in DECODER_DEPENDENCIES


def program() -> Path:
    """Return the path of `gdcmconv` in the package that carries it.

    Raises
    ------
    ValueError
        The package is not installed.
    """
    package = importlib.util.find_spec("_gdcm")
    if package is None or not package.submodule_search_locations:
        raise ValueError("GDCM is not installed")
    found = Path(package.submodule_search_locations[0], "gdcmconv")
    if not os.access(found, os.X_OK):
        # Whoever unpacks a layer with Python's zipfile, as the local stack does, loses the permission.
        found.chmod(0o755)
    return found


def decode_frame(src: bytes, runner: DecodeRunner) -> bytes:
    """Decode one frame for pydicom.

    Parameters
    ----------
    src
        The compressed frame.
    runner
        What pydicom knows of the image.

    Raises
    ------
    ValueError
        GDCM rejected the frame, crashed or hung on it.
    """
    with TemporaryDirectory() as folder:
        compressed, raw = Path(folder, "frame.dcm"), Path(folder, "raw.dcm")
        _image(src, runner).save_as(compressed, enforce_file_format=True)
        try:
            subprocess.run(  # noqa: S603 - a program of our own layer, no shell
                [program(), "--raw", "--quiet", compressed, raw],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_TIMEOUT_SECONDS,
                check=True,
            )
            decoded = dcmread(raw)
            samples = bytes(decoded.PixelData)
        except (subprocess.SubprocessError, OSError, InvalidDicomError, AttributeError) as error:
            raise ValueError("GDCM could not decode the frame") from error
    runner.set_option("planar_configuration", decoded.get("PlanarConfiguration", 0))
    return samples


def _image(frame: bytes, runner: DecodeRunner) -> Dataset:
    """Return the frame as the smallest instance that GDCM reads (PS3.3 C.7.6.3)."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = runner.transfer_syntax
    image.SOPClassUID, image.SOPInstanceUID = SecondaryCaptureImageStorage, _UID
    image.SamplesPerPixel = runner.samples_per_pixel
    image.PhotometricInterpretation = str(runner.photometric_interpretation)
    if runner.samples_per_pixel > 1:
        image.PlanarConfiguration = runner.get_option("planar_configuration", 0)
    image.Rows, image.Columns = runner.rows, runner.columns
    image.BitsAllocated, image.BitsStored = runner.bits_allocated, runner.bits_stored
    image.HighBit = runner.bits_stored - 1
    image.PixelRepresentation = runner.pixel_representation
    image.PixelData = encapsulate([frame], has_bot=False)
    image["PixelData"].VR = "OB"
    return image


for decoder in (JPEGLosslessDecoder, JPEGLosslessSV1Decoder):
    decoder.add_plugin(LABEL, (__name__, "decode_frame"))
