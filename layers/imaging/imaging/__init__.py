"""One frame of a DICOM image as a small JPEG or PNG.

`classify` tells what has no picture, `render` and `render_frame` make one, `placeholder` stands in for it;
`read_header` reads what `classify` needs from the beginning of a file. `StoredFrames` reads frames as they are stored,
`compress_lossless` compresses one.
Importing this package imports neither pydicom, numpy nor Pillow; rendering does.
"""

from imaging.beginning import read_header
from imaging.bulk_values import read_value
from imaging.classification import MAX_FRAME_BYTES, Reason, classify
from imaging.encoded_picture import MediaType, Picture
from imaging.errors import CannotDecode, FrameNotFound, ImagingError, TooLarge
from imaging.header import Window, representative_frame, window_of
from imaging.jpeg_ls import compress_file, compress_lossless
from imaging.placeholders import placeholder
from imaging.rendering import render, render_frame
from imaging.stored_frames import StoredFrame, StoredFrames

__all__ = [
    "MAX_FRAME_BYTES",
    "CannotDecode",
    "FrameNotFound",
    "ImagingError",
    "MediaType",
    "Picture",
    "Reason",
    "StoredFrame",
    "StoredFrames",
    "TooLarge",
    "Window",
    "classify",
    "compress_file",
    "compress_lossless",
    "placeholder",
    "read_header",
    "read_value",
    "render",
    "render_frame",
    "representative_frame",
    "window_of",
]
