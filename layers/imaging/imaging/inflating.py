"""Inflates deflated datasets (PS3.5 §A.5) piece by piece, so that the caller can stop: 1 MB can become 1 GB."""

import zlib
from collections.abc import Iterable, Iterator


def inflated(pieces: Iterable[bytes], *, at_once: int) -> Iterator[bytes]:
    """Yield what a deflate stream inflates to; a stream that is cut off ends where it was cut.

    Parameters
    ----------
    pieces
        The stream; those that are not needed are not taken.
    at_once
        Most bytes of a piece that is yielded.

    Raises
    ------
    zlib.error
        The bytes are not a deflate stream.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    for piece in pieces:
        more = True
        while more and not inflater.eof:
            made = inflater.decompress(piece, at_once)
            if made:
                yield made
            piece = inflater.unconsumed_tail
            # A piece that is full may have a rest although all that came is used up: few bits can stand for kilobytes.
            more = bool(piece) or len(made) == at_once
        if inflater.eof:
            return
