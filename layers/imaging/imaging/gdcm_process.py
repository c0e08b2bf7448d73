"""Decode one lossless JPEG frame with GDCM, as a program of its own.

    python -m imaging.gdcm_process <parameters as JSON> < frame > samples

GDCM aborts the whole process on some broken frames. Here that costs one picture, not the caller. Nothing but GDCM is
imported, so it starts in a fraction of the time pydicom or numpy would take.
"""

import json
import sys
from typing import Any

import gdcm  # type: ignore[import-untyped]


def decode(frame: bytes, parameters: dict[str, Any]) -> bytes:
    """Return the decoded samples of one frame.

    Parameters
    ----------
    frame
        The compressed frame.
    parameters
        ``transfer_syntax_uid`` and the Image Pixel attributes (PS3.3 C.7.6.3) by their keywords in snake case.

    Raises
    ------
    ValueError
        GDCM finds the frame broken.
    """
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())

    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((parameters["columns"], parameters["rows"], 1))
    image.SetDataElement(element)
    interpretation = gdcm.PhotometricInterpretation.GetPIType(parameters["photometric_interpretation"])
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(interpretation))
    if parameters["samples_per_pixel"] > 1:
        image.SetPlanarConfiguration(parameters["planar_configuration"])
    syntax = gdcm.TransferSyntax.GetTSType(parameters["transfer_syntax_uid"])
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    stored = parameters["bits_stored"]
    image.SetPixelFormat(
        gdcm.PixelFormat(
            parameters["samples_per_pixel"],
            parameters["bits_allocated"],
            stored,
            stored - 1,
            parameters["pixel_representation"],
        )
    )
    # The binding hands bytes over as text
    samples = image.GetBuffer()
    if samples is None:
        raise ValueError("GDCM cannot decode the frame")
    return bytes(samples.encode("utf-8", "surrogateescape"))


if __name__ == "__main__":
    sys.stdout.buffer.write(decode(sys.stdin.buffer.read(), json.loads(sys.argv[1])))
