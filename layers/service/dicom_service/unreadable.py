"""What pydicom raises for files that it cannot read.

One list: where a name is missing, a broken file is an error of this service. pydicom is imported when the list is asked
for, which is after it has raised something.
"""


def unreadable() -> tuple[type[Exception], ...]:
    """Return the exceptions, for use as ``except unreadable():`` around what parses a file."""
    import struct
    import zlib

    from pydicom.errors import BytesLengthException, InvalidDicomError

    return (
        *(InvalidDicomError, BytesLengthException, struct.error, zlib.error),
        *(EOFError, OSError, ValueError, LookupError, AttributeError, TypeError, ArithmeticError),
        # Of RuntimeError the two that malformed data can cause.
        *(NotImplementedError, RecursionError),
    )
