"""A pydicom decoding plugin that runs GDCM in a process of its own, which broken frames may bring down."""

import json
import os
import subprocess
import sys

from pydicom.pixels.decoders.base import DecodeRunner, JPEGLosslessDecoder, JPEGLosslessSV1Decoder
from pydicom.uid import JPEGLossless, JPEGLosslessSV1

LABEL = "gdcm-process"
DECODER_DEPENDENCIES = {JPEGLossless: ("python-gdcm",), JPEGLosslessSV1: ("python-gdcm",)}
_TIMEOUT_SECONDS = 20
_ATTRIBUTES = (
    "bits_allocated",
    "bits_stored",
    "columns",
    "photometric_interpretation",
    "pixel_representation",
    "rows",
    "samples_per_pixel",
)


def is_available(uid: str) -> bool:
    """Tell pydicom whether the plugin decodes a transfer syntax."""
    return uid in DECODER_DEPENDENCIES


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
        GDCM refused the frame, crashed or hung on it.
    """
    parameters = {name: getattr(runner, name) for name in _ATTRIBUTES}
    parameters["transfer_syntax_uid"] = str(runner.transfer_syntax)
    parameters["planar_configuration"] = runner.get_option("planar_configuration", 0)
    # The interpreter of a Lambda function learns its layers' folders at start, not from the environment
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module, no shell
            [sys.executable, "-m", "imaging.gdcm_process", json.dumps(parameters)],
            input=src,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=_TIMEOUT_SECONDS,
            check=True,
        )
    except subprocess.SubprocessError as error:
        raise ValueError("GDCM could not decode the frame") from error
    return done.stdout


for decoder in (JPEGLosslessDecoder, JPEGLosslessSV1Decoder):
    decoder.add_plugin(LABEL, (__name__, "decode_frame"))
