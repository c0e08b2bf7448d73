"""Turn whatever a parser or decoder raises on broken input into ``CannotDecode``, and its words out of the logs."""

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom.errors import BytesLengthException, InvalidDicomError

from imaging.errors import CannotDecode

# What pydicom, numpy, Pillow and the plugins are known to raise on malformed input; RuntimeError includes
# NotImplementedError and RecursionError, ValueError the codec errors, ArithmeticError a bad decimal string.
BROKEN_INPUT = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


@contextmanager
def broken_input_is_cannot_decode(doing: str) -> Iterator[None]:
    """Wrap one step that touches untrusted bytes.

    pydicom's warnings and log records quote values of the dataset, which may be patient data: both stay silent
    meanwhile.

    Parameters
    ----------
    doing
        The step, in words that may be logged.

    Raises
    ------
    CannotDecode
        The step failed on its input.
    """
    logger = logging.getLogger("pydicom")
    was_propagating, logger.propagate = logger.propagate, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except BROKEN_INPUT as error:
        raise CannotDecode(f"{doing}: {type(error).__name__}") from error
    finally:
        logger.propagate = was_propagating
