"""The errors of rendering a frame.

    ImagingError
    ├── CannotDecode     the transfer syntax has no decoder here, or the pixels are broken
    ├── FrameNotFound    the image has no frame of that number
    └── TooLarge         one frame (or an inflated dataset) is above the ceiling

Messages name attributes and transfer syntaxes, never values of the dataset: they may be logged.
"""


class ImagingError(Exception):
    """Base of every error this package raises."""


class CannotDecode(ImagingError):
    """The frame cannot be decoded here; another renderer, such as the PACS, may still be able to."""


class FrameNotFound(ImagingError):
    """The frame number lies outside 1 … NumberOfFrames (0028,0008)."""


class TooLarge(ImagingError):
    """Decoding would need more memory than the ceiling allows; nothing was decoded."""
